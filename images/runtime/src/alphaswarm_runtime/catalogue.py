"""The fleet's catalogue of queues as the image carries it: `catalogue.json`, generated, never edited by hand.

All durations are whole seconds.

    {"images": {"<image>": {"name", "queues": [...], "concurrency"}},
     "queues": {"<queue>": {"image", "concurrency", "time_limit", "grace_period", "visibility_timeout",
                            "soft_shutdown" (or null), "cancel_on_connection_loss"}},
     "time_constraints": [{"longer", "than": [...], "otherwise"}]}

Unknown keys are an error: a catalogue newer than the runtime must not be half understood.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from alphaswarm_runtime.errors import ConfigurationError


@dataclass(frozen=True)
class Image:
    """One of the two images; `concurrency` holds where one process drains all of its queues."""

    name: str
    queues: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True)
class Queue:
    """One queue, as far as the process that drains it must know."""

    image: str
    concurrency: int
    time_limit: int
    grace_period: int
    visibility_timeout: int
    soft_shutdown: int | None
    cancel_on_connection_loss: bool


@dataclass(frozen=True)
class TimeConstraint:
    """`longer` must exceed the first of `than` that is set; the names are those of Queue's fields."""

    longer: str
    than: tuple[str, ...]
    otherwise: str

    def broken_by(self, row: Queue) -> str | None:
        """The message when the row breaks the constraint."""
        times = {name: value for name, value in vars(row).items() if value is not None}
        bound = next(name for name in self.than if name in times)
        if times[self.longer] > times[bound]:
            return None
        longer, shorter = (name.replace("_", " ") for name in (self.longer, bound))
        return f"{longer} ({times[self.longer]} s) must exceed the {shorter} ({times[bound]} s), or {self.otherwise}"


@dataclass(frozen=True)
class Catalogue:
    """Every image and every queue, by name, and what a queue's times must keep."""

    images: dict[str, Image]
    queues: dict[str, Queue]
    time_constraints: tuple[TimeConstraint, ...]

    def image(self, name: str) -> Image:
        """The image of that name. Raises ConfigurationError for a name the catalogue lacks."""
        if name not in self.images:
            known = ", ".join(sorted(self.images))
            raise ConfigurationError(
                f"ALPHASWARM_IMAGE is {name!r}; the catalogue has {known}. The image sets it: use its entry point."
            )
        return self.images[name]

    def require(self, image: str, names: tuple[str, ...]) -> None:
        """Refuse queues that do not belong to `image`: two images draining one queue is what the fleet forbids."""
        own = self.image(image).queues
        wrong = [self._why_not(name) for name in names if name not in own]
        if wrong:
            raise ConfigurationError(f"{'; '.join(wrong)}. This is image {image!r}, which drains {', '.join(own)}.")

    def _why_not(self, name: str) -> str:
        if name in self.queues:
            return f"queue {name!r} belongs to image {self.queues[name].image!r}: run it there"
        return f"queue {name!r} is not in the catalogue"


def parse(text: str) -> Catalogue:
    """Read the generated file. Raises ConfigurationError when it is not of the form above."""
    try:
        data: dict[str, Any] = json.loads(text)
        images = {name: Image(**{**row, "queues": tuple(row["queues"])}) for name, row in data["images"].items()}
        queues = {name: Queue(**row) for name, row in data["queues"].items()}
        constraints = tuple(TimeConstraint(**{**row, "than": tuple(row["than"])}) for row in data["time_constraints"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"catalogue.json of the runtime cannot be read: {error}. Generate it anew.") from error
    return Catalogue(images, queues, constraints)


@cache
def shipped() -> Catalogue:
    """The catalogue beside this module."""
    return parse(files("alphaswarm_runtime").joinpath("catalogue.json").read_text())
