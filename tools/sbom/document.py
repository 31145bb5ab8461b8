"""The CycloneDX document of one architecture's image, reproducible byte by byte.

syft writes a timestamp and a random serial number. Without the one, and with the other derived from the content, the
same image has the same document, which can be compared and is stored once.
"""

import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tools.sbom.classifiers import metadata_files, with_classifiers
from tools.sbom.images import PlatformImage
from tools.sbom.tools import Tools

MEDIA_TYPE = "application/vnd.cyclonedx+json"

Document = dict[str, Any]


def make(tools: Tools, name: str, image: PlatformImage, folder: Path) -> Document:
    """Scan the image; `folder` has room for what syft unpacks."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacked-") as scratch:
        found, report = tools.scan(image.reference, name, Path(scratch))
        document, files = json.loads(found.read_text()), metadata_files(json.loads(report.read_text()))
    components = [with_classifiers(component, files) for component in document["components"]]
    return reproducible({**document, "components": components})


def reproducible(document: Document) -> Document:
    """Return the document without its timestamp, sorted, with a serial number from its content."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "timestamp"}
    rest = {**document, "metadata": metadata}
    rest.pop("serialNumber", None)
    for key, identity in (("components", "bom-ref"), ("dependencies", "ref")):
        rest[key] = sorted(document.get(key, ()), key=lambda entry: str(entry[identity]))
    return {**rest, "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, text(rest)).urn}


def text(document: Document) -> str:
    """Format the document as it is written to a file."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
