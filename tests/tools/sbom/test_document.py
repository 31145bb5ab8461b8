"""The document of an image is reproducible."""

from typing import Any

from tools.sbom.document import reproducible, text


def made(moment: str, serial: str, *names: str) -> dict[str, Any]:
    return {
        "bomFormat": "CycloneDX",
        "serialNumber": f"urn:uuid:{serial}",
        "metadata": {"timestamp": moment, "component": {"name": "alphaswarm-worker"}},
        "components": [{"bom-ref": name, "name": name} for name in names],
    }


def test_the_same_image_read_twice_gives_the_same_bytes() -> None:
    one, other = made("2026-01-01T00:00:00Z", "1", "a", "b"), made("2026-01-02T00:00:00Z", "2", "b", "a")
    assert text(reproducible(one)) == text(reproducible(other)), "each run would attach another document to the image"


def test_another_content_has_another_serial_number() -> None:
    one, other = reproducible(made("", "1", "a")), reproducible(made("", "1", "b"))
    assert one["serialNumber"] != other["serialNumber"]
    assert one["serialNumber"].startswith("urn:uuid:")
