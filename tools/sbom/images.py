"""From a reference to the images behind it, one for each architecture, each by its own digest.

A bill of materials belongs to what one machine would run: the index that joins architectures has no files. Whatever
else an index may list (BuildKit's attestations stand there for the platform `unknown`) is no image.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import CommandError
from tools.sbom.tools import Tools


@dataclass(frozen=True)
class PlatformImage:
    """One architecture's image: `repository@digest` is it and nothing else."""

    repository: str
    digest: str
    platform: str  # linux/arm64

    @property
    def reference(self) -> str:
        """The reference for other programs."""
        return f"{self.repository}@{self.digest}"

    @property
    def architecture(self) -> str:
        """The platform without its system, for a file's name."""
        return self.platform.partition("/")[2].replace("/", "-")


@dataclass(frozen=True)
class FleetImage:
    """An image as it is deployed, with its architectures."""

    name: str  # the last part of its repository
    reference: str  # repository@digest
    platforms: tuple[PlatformImage, ...]


def resolve(tools: Tools, reference: str) -> FleetImage:
    """Ask the registry for the images of a reference; a tag becomes its digest.

    Raises:
        CommandError: there are none.
    """
    repository = repository_of(reference)
    raw = tools.ask_oras("manifest", "fetch", at=reference)
    manifest = json.loads(raw)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    platforms = (
        tuple(
            PlatformImage(repository, entry["digest"], _platform(entry["platform"]))
            for entry in manifest["manifests"]
            if _is_image(entry)
        )
        if "manifests" in manifest
        else (PlatformImage(repository, digest, _platform(_configuration(tools, reference))),)
    )
    if not platforms:
        raise CommandError(f"{reference} lists no image for any platform. Name an image, or an index of images.")
    return FleetImage(repository.rpartition("/")[2], f"{repository}@{digest}", platforms)


def repository_of(reference: str) -> str:
    """Return the reference without digest and tag. Raises CommandError when it names no registry."""
    path = reference.partition("@")[0]
    head, slash, last = path.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    if not head or reference.count("@") > 1:
        raise CommandError(
            f"{reference} is no image in a registry. Write it as REGISTRY/NAME@sha256:DIGEST, as the stack's output "
            "`images` does; REGISTRY/NAME:TAG will do too."
        )
    return repository


def _configuration(tools: Tools, reference: str) -> Mapping[str, Any]:
    configuration: Mapping[str, Any] = json.loads(tools.ask_oras("manifest", "fetch-config", at=reference))
    if not configuration.get("architecture"):
        raise CommandError(f"{reference} is an artifact that runs nowhere. Name an image, or an index of images.")
    return configuration


def _is_image(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("platform", {}).get("architecture", "unknown")) != "unknown"


def _platform(facts: Mapping[str, Any]) -> str:
    return "/".join(str(facts[part]) for part in ("os", "architecture", "variant") if facts.get(part))
