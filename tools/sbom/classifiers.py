"""Licences that a Python package declares by a classifier alone, which syft does not read.

`License :: OSI Approved :: BSD License` was the usual way before SPDX expressions, and a tenth of the packages still
have no other. A classifier counts only where syft found no licence, and is named as the package writes it.
"""

import base64
import re
from collections.abc import Mapping
from email.parser import HeaderParser
from typing import Any

_LICENCE = re.compile(r"^License :: (?:OSI Approved :: )?(?P<name>.+)$")
_ONLY_A_HASH = re.compile(r"^sha256:[0-9a-f]{64}$")  # what syft calls a text that is no licence it knows
_PLACE = re.compile(r"^syft:location:\d+:path$")

Component = dict[str, Any]


def metadata_files(read: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the METADATA files of an image by their paths, from syft's own report."""
    return {
        file["location"]["path"]: base64.b64decode(file["contents"]).decode(errors="replace")
        for file in read.get("files", ())
        if file.get("contents")
    }


def with_classifiers(component: Component, files: Mapping[str, str]) -> Component:
    """Return the component, with the licences of its classifiers where it has no readable one."""
    if any(_readable(entry) for entry in component.get("licenses", ())):
        return component
    places = (entry["value"] for entry in component.get("properties", ()) if _PLACE.match(entry["name"]))
    names = sorted({name for place in places for name in classified(files.get(place, ""))})
    return {**component, "licenses": [{"license": {"name": name}} for name in names]} if names else component


def classified(metadata: str) -> list[str]:
    """Return the licences among the classifiers of a METADATA file."""
    found = HeaderParser().parsestr(metadata).get_all("Classifier", [])
    return [match["name"].strip() for line in found if (match := _LICENCE.match(line.strip()))]


def _readable(entry: Mapping[str, Any]) -> bool:
    licence = entry.get("license", {})
    return "expression" in entry or "id" in licence or not _ONLY_A_HASH.match(licence.get("name", ""))
