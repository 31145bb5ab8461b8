"""Which releases of Celery, kombu and billiard are tested together."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from common.errors import CommandError
from tools.celery_versions.choice import combinations, declared_ranges, listed
from tools.celery_versions.trial import SELECTION, SIDE_BY_SIDE

ROOT = Path(__file__).parents[3]
RANGES = {"celery": SpecifierSet(">=5.7,<6"), "kombu": SpecifierSet(">=5.7,<6"), "billiard": SpecifierSet(">=4.3,<5")}
PRINTED = """celery (5.7.0)
Available versions: 5.7.0, 5.7.0rc1, 5.6.3, 3.1.26.post2, 0.8.4-late
  INSTALLED: 5.7.0
  LATEST:    5.7.0
"""


def chosen(celery: str, kombu: str, billiard: str = "4.3.2") -> list[str]:
    index = {"celery": celery, "kombu": kombu, "billiard": billiard}
    return [str(one) for one in combinations(RANGES, {name: map(Version, has.split()) for name, has in index.items()})]


@pytest.mark.parametrize(
    ("celery", "kombu", "expected"),
    [
        ("5.7.0 5.7.0rc1 5.6.3", "5.7.0 5.6.2", ["celery 5.7.0, kombu 5.7.0, billiard 4.3.2"]),
        ("5.7.0 5.7.1 5.7.10 5.7.2", "5.7.0 5.7.1", ["celery 5.7.10, kombu 5.7.1, billiard 4.3.2"]),
        (
            "5.7.1 5.8.0 5.10.2 5.10.0",
            "5.7.3 5.8.1 5.10.0",
            [
                "celery 5.7.1, kombu 5.7.3, billiard 4.3.2",
                "celery 5.8.0, kombu 5.8.1, billiard 4.3.2",
                "celery 5.10.2, kombu 5.10.0, billiard 4.3.2",
            ],
        ),
        (
            "5.7.0 5.8.0",
            "5.7.1 5.7.0",
            ["celery 5.7.0, kombu 5.7.1, billiard 4.3.2", "celery 5.8.0, kombu 5.7.1, billiard 4.3.2"],
        ),
        (
            "5.7.0 5.8.0a1 5.8.0b1",
            "5.7.0 5.8.0rc2",
            [
                "celery 5.7.0, kombu 5.7.0, billiard 4.3.2",
                "celery 5.8.0b1, kombu 5.8.0rc2, billiard 4.3.2 (pre-release)",
            ],
        ),
        (
            "5.7.0",
            "5.7.0 5.8.0a1",
            [
                "celery 5.7.0, kombu 5.7.0, billiard 4.3.2",
                "celery 5.7.0, kombu 5.8.0a1, billiard 4.3.2 (pre-release)",
            ],
        ),
        ("5.7.0 6.0.0a1 6.0.0", "5.7.0 6.0.0", ["celery 5.7.0, kombu 5.7.0, billiard 4.3.2"]),
    ],
    ids=[
        "a pre-release that was released since is not tested",
        "the newest patch release, by number and not by letter",
        "each minor version, with kombu's of the same number",
        "the newest kombu where it has no such minor version",
        "the newest pre-releases together",
        "a pre-release of kombu alone",
        "no major version that the runtime does not know",
    ],
)
def test_what_is_tested(celery: str, kombu: str, expected: list[str]) -> None:
    assert chosen(celery, kombu) == expected


def test_an_index_without_a_release_in_the_range_is_an_error_that_names_it() -> None:
    with pytest.raises(CommandError, match=re.escape("celery<6,>=5.7")):
        chosen("5.6.3 5.7.0rc1", "5.7.0")


def test_what_pip_prints_is_read_and_versions_of_long_ago_are_passed_over() -> None:
    assert list(map(str, listed(PRINTED))) == ["5.7.0", "5.7.0rc1", "5.6.3", "3.1.26.post2"]
    assert listed("celery: nothing of the kind\n") == []


def test_the_ranges_are_those_that_the_runtime_declares() -> None:
    ranges = declared_ranges(ROOT / "images/runtime/pyproject.toml")
    assert ranges.keys() == {"celery", "kombu", "billiard"}, "a package of the runtime's is tested in one version alone"
    assert all(len(allowed) == 2 for allowed in ranges.values()), "without an end, a next major version would be tried"


def test_the_tests_are_those_of_make_test_runtime() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ntest-runtime:")[2].partition("\n\n")[0]
    (arguments,) = re.findall(r" -m pytest (.*)$", recipe, re.MULTILINE)
    assert arguments == f'{SIDE_BY_SIDE[0]} {SIDE_BY_SIDE[1]} {SELECTION[0]} "{SELECTION[1]}"'


@given(
    st.sets(st.builds("5.{}.{}{}".format, st.integers(5, 11), st.integers(0, 12), st.sampled_from(["", "a1", "rc2"])))
)
def test_every_minor_version_is_tested_once_in_its_newest_release(versions: set[str]) -> None:
    versions |= {"5.7.0"}
    has = {"celery": [*map(Version, versions)], "kombu": [*map(Version, versions)], "billiard": [Version("4.3.0")]}
    found = combinations(RANGES, has)
    released = [one.releases["celery"] for one in found if not one.is_prerelease]
    allowed = [one for one in has["celery"] if one in RANGES["celery"] and not one.is_prerelease]
    assert [one.release[:2] for one in released] == sorted({one.release[:2] for one in allowed})
    assert all(newest >= other for newest, other in itertools.product(released, allowed) if newest.minor == other.minor)
    assert all(one.releases["kombu"] == one.releases["celery"] for one in found)
    upcoming = [one.releases["celery"] for one in found if one.is_prerelease]
    newest = max(one for one in has["celery"] if RANGES["celery"].contains(one, prereleases=True))
    assert upcoming == ([newest] if newest.is_prerelease else [])
