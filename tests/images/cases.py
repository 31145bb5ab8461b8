"""The images and platforms to test, and how those that a run uses are built."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.progress import Progress
from queues import IMAGES, Image
from tests.images.build_environment import BuildEnvironment
from tests.images.built import BuiltImage, ImageBuild, build

FOLDER = Path(__file__).parents[2] / "images"


@dataclass(frozen=True)
class Case:
    """An image on a platform."""

    image: Image
    platform: str

    def __str__(self) -> str:
        return f"{self.image.target}-{self.platform.rpartition('/')[2]}"


@dataclass(frozen=True)
class BuiltCase:
    """An image of the catalogue, and what was built of it for a platform."""

    image: Image
    platform: str
    built: BuiltImage


CASES = tuple(Case(image, platform) for image in IMAGES for platform in image.platforms)


@dataclass
class Builds:
    """Builds the targets of the root Dockerfile, each for all the platforms in `cases` at once."""

    environment: BuildEnvironment
    cases: Iterable[Case]
    _done: dict[str, Mapping[str, BuiltImage]] = field(default_factory=dict)

    def get(self, case: Case) -> BuiltCase:
        """Return the case, built if need be, with progress on standard error."""
        target = case.image.target
        if target not in self._done:
            self._done[target] = self._build(case)
        return BuiltCase(case.image, case.platform, self._done[target][case.platform])

    def _build(self, case: Case) -> Mapping[str, BuiltImage]:
        platforms = tuple(one.platform for one in self.cases if one.image == case.image and self.can(one))
        out = self.environment.scratch / case.image.target
        shutil.rmtree(out, ignore_errors=True)
        what = f"{case.image.name} for {' and '.join(platforms)}"
        with Progress().step(what, usual="1 min, but 1 to 4 min with nothing in BuildKit's cache"):
            found = build(self.environment, ImageBuild(FOLDER, case.image.target, platforms), out)
        for platform, built in found.items():
            Progress().say(f"      {platform} {built.digest}")  # to be compared with another machine's
        return found

    def can(self, case: Case) -> bool:
        """Tell whether this machine can build for the platform."""
        return case.platform in self.environment.builder.platforms
