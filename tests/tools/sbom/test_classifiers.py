"""Where a package says its licence by a classifier alone, that is what is said of it."""

import base64
from typing import Any

import pytest

from tools.sbom.classifiers import classified, metadata_files, with_classifiers

PLACE = "/venv/lib/python3.13/site-packages/jinja2-3.1.6.dist-info/METADATA"
METADATA = """\
Metadata-Version: 2.4
Name: jinja2
Classifier: License :: OSI Approved :: BSD License
Classifier: Topic :: Text Processing

Classifier: License :: of a description, which is no header
"""


def jinja(*licences: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "jinja2",
        "licenses": list(licences),
        "properties": [{"name": "syft:location:0:path", "value": PLACE}],
    }


def test_a_classifier_is_read_from_the_headers_and_not_from_the_description() -> None:
    assert classified(METADATA) == ["BSD License"]
    assert classified("") == []


def test_the_files_are_found_in_the_report_by_their_paths() -> None:
    listed = {"location": {"path": PLACE}, "contents": base64.b64encode(METADATA.encode()).decode()}
    assert metadata_files({"files": [listed, {"location": {"path": "/bin/sh"}}]}) == {PLACE: METADATA}


@pytest.mark.parametrize("found", [[], [{"license": {"name": f"sha256:{'0' * 64}"}}]], ids=["none", "an unknown text"])
def test_what_syft_could_not_tell_is_told_by_the_classifier(found: list[dict[str, Any]]) -> None:
    component = with_classifiers(jinja(*found), {PLACE: METADATA})
    assert component["licenses"] == [{"license": {"name": "BSD License"}}]


@pytest.mark.parametrize(
    "found", [{"license": {"id": "MIT"}}, {"license": {"name": "BSD"}}, {"expression": "MIT OR ISC"}]
)
def test_what_syft_did_tell_stands(found: dict[str, Any]) -> None:
    assert with_classifiers(jinja(found), {PLACE: METADATA}) == jinja(found)


def test_a_package_that_says_nothing_stays_unknown() -> None:
    assert with_classifiers(jinja(), {PLACE: "Name: jinja2\n"}) == jinja()
