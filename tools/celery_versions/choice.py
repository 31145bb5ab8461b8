"""Which releases of Celery's projects are tested: those of the runtime's own declared range that an index has.

Celery and kombu are released together, minor version by minor version, so each minor version of Celery is tested with
kombu's of the same number. The rest takes its newest release.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from common.errors import CommandError

CELERY, KOMBU = "celery", "kombu"
Ranges = Mapping[str, SpecifierSet]


@dataclass(frozen=True)
class Combination:
    """Releases that are installed together, by package."""

    releases: Mapping[str, Version]

    @property
    def is_prerelease(self) -> bool:
        """Whether one of them is not released yet."""
        return any(version.is_prerelease for version in self.releases.values())

    def __str__(self) -> str:
        named = ", ".join(f"{name} {version}" for name, version in self.releases.items())
        return f"{named} (pre-release)" if self.is_prerelease else named


def declared_ranges(pyproject: Path) -> Ranges:
    """Return the ranges of a package's dependencies that have one, by name."""
    declared = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    return {one.name: one.specifier for one in map(Requirement, declared) if one.specifier}


def listed(printed: str) -> list[Version]:
    """Return the versions that `pip index versions` printed; old ones that are no versions of today are left out."""
    found = re.search(r"^Available versions: (.*)$", printed, re.MULTILINE)
    versions = []
    for text in found[1].split(", ") if found else ():
        try:
            versions.append(Version(text))
        except InvalidVersion:
            continue
    return versions


def combinations(ranges: Ranges, index: Mapping[str, Iterable[Version]]) -> list[Combination]:
    """Return the newest releases of each supported minor version of Celery, then newer pre-releases if there are any.

    Raises:
        CommandError: the index has no release of a package.
    """
    fitting = {name: sorted(allowed.filter(index[name], prereleases=True)) for name, allowed in ranges.items()}
    released = {name: [one for one in versions if not one.is_prerelease] for name, versions in fitting.items()}
    if missing := [f"{name}{ranges[name]}" for name, versions in released.items() if not versions]:
        raise CommandError(f"The index has no release of {', '.join(missing)}. Is it the one that you meant?")
    newest = {name: versions[-1] for name, versions in released.items()}
    minors = {_minor(version): version for version in released[CELERY]}  # the last one of each stays
    chosen = [
        Combination({**newest, CELERY: version, KOMBU: _of_minor(minor, released[KOMBU])})
        for minor, version in minors.items()
    ]
    upcoming = Combination({name: versions[-1] for name, versions in fitting.items()})
    return [*chosen, upcoming] if upcoming.is_prerelease else chosen


def _minor(version: Version) -> tuple[int, ...]:
    return version.release[:2]


def _of_minor(minor: tuple[int, ...], versions: Sequence[Version]) -> Version:
    return max((one for one in versions if _minor(one) == minor), default=versions[-1])
