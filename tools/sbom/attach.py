"""Attaches a document to its image, as an OCI 1.1 artifact whose subject is that image.

For a registry without the referrers API (Docker's has none) oras keeps the list of artifacts under the tag
`sha256-<digest>`, as the specification says. The artifact has no time of creation: attached twice it is the same
artifact, and the second time nothing is written. It is not signed: who may push may attach.
"""

import json
from pathlib import Path

from common.errors import CommandError
from tools.sbom.document import MEDIA_TYPE
from tools.sbom.images import PlatformImage
from tools.sbom.tools import Tools

NO_CREATION_TIME = "org.opencontainers.image.created=1970-01-01T00:00:00Z"


def attach(tools: Tools, image: PlatformImage, file: Path) -> str:
    """Attach the file, and return the artifact's digest.

    Raises:
        CommandError: the registry does not list the artifact afterwards.
    """
    more = ("--artifact-type", MEDIA_TYPE, "--annotation", NO_CREATION_TIME, "--format", "json")
    # The file's path becomes its title, so it is given without its folders.
    said = tools.ask_oras("attach", *more, at=image.reference, more=(f"{file.name}:{MEDIA_TYPE}",), cwd=file.parent)
    digest = str(json.loads(said)["digest"])
    if digest not in attached(tools, image):
        raise CommandError(
            f"{image.reference}: the registry took the bill of materials ({digest}) and does not list it. "
            f"It stands in {file}; keep that, or use a registry with OCI 1.1 referrers."
        )
    return digest


def attached(tools: Tools, image: PlatformImage) -> tuple[str, ...]:
    """Return the digests of the bills of materials that are attached to the image."""
    found = json.loads(
        tools.ask_oras("discover", "--artifact-type", MEDIA_TYPE, "--format", "json", at=image.reference)
    )
    return tuple(str(entry["digest"]) for entry in found.get("referrers") or found.get("manifests") or ())
