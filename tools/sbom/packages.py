"""The packages of a document, and which of their licences are copyleft.

A licence is what a package declares: an SPDX identifier or expression, a free text, or nothing. The trap:
`MIT OR GPL-2.0` leaves a choice, `MIT AND GPL-2.0` does not; in doubt a licence counts as copyleft.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tools.sbom.document import Document

# Families whose terms reach beyond the package itself, weak and strong; a licence's name in words counts as well.
_COPYLEFT = re.compile(
    r"\b[AL]?GPL|\bGNU\b|Affero|\bMPL|Mozilla|\bEPL|Eclipse|\bCDDL|\bEUPL|\bOSL|\bSSPL|\bCECILL|\bCC-BY-SA|\bCPL"
    r"|\bQPL|\bSleepycat|\bMS-RL",
    re.IGNORECASE,
)
_ONLY_A_HASH = re.compile(r"^sha256:[0-9a-f]{64}$")  # what syft calls a text that is no licence it knows
_DATABASES = {"apk-db-cataloger", "dpkg-db-cataloger", "rpm-db-cataloger"}
_KINDS = {"python": "python", "apk": "distribution", "deb": "distribution", "rpm": "distribution"}


@dataclass(frozen=True, order=True)
class Package:
    """One package of an image."""

    name: str
    version: str
    kind: str  # python, distribution or other
    licences: tuple[str, ...]
    purl: str

    @property
    def copyleft(self) -> bool:
        """Whether one of its licences is copyleft, with no other to choose."""
        return any(copyleft(licence) for licence in self.licences)


def packages(document: Document) -> tuple[Package, ...]:
    """Return the packages of a document, sorted by name."""
    found = (entry for entry in document["components"] if "purl" in entry)
    return tuple(sorted({_package(entry) for entry in found}, key=lambda package: (package.name.lower(), package)))


def lists_the_distribution(document: Document) -> bool:
    """Tell whether the image has its distribution's package database: without it those packages are not listed."""
    return any(_property(entry, "syft:package:foundBy") in _DATABASES for entry in document["components"])


def copyleft(licence: str) -> bool:
    """Tell whether a licence, an SPDX expression or a text, is copyleft."""
    if "(" in licence:
        return bool(_COPYLEFT.search(licence))
    return all(_COPYLEFT.search(choice) for choice in re.split(r"\s+OR\s+", licence))


def _package(entry: Mapping[str, Any]) -> Package:
    kind = _KINDS.get(_property(entry, "syft:package:type"), "other")
    licences = tuple(sorted(set(_licences(entry.get("licenses", ())))))
    return Package(entry["name"], entry.get("version", ""), kind, licences, entry["purl"])


def _licences(entries: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for entry in entries:
        licence = entry.get("license", {})
        declared = entry.get("expression") or licence.get("id") or licence.get("name", "")
        words = " ".join(declared.split())
        if words and not _ONLY_A_HASH.match(words):
            yield words


def _property(entry: Mapping[str, Any], name: str) -> str:
    return next((str(one["value"]) for one in entry.get("properties", ()) if one["name"] == name), "")
