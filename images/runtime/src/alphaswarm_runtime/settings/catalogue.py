"""Reads the fleet's catalogue of queues from `catalogue.json`, which is generated: do not edit it.

Durations are whole seconds.

    {"images": {"<image>": {"name", "queues": [...], "concurrency"}},
     "queues": {"<queue>": {"image", "concurrency", "time_limit", "grace_period", "visibility_timeout",
                            "soft_shutdown" (or null), "cancel_on_connection_loss"}},
     "time_constraints": [{"longer", "than": [...], "otherwise"}]}

An unknown key is an error: this package must not ignore a part of a newer catalogue.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from alphaswarm_runtime.errors import ConfigurationError


@dataclass(frozen=True)
class Image:
    """One of the two images. `concurrency` is that of a process which consumes all of its queues."""

    name: str
    queues: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True)
class Queue:
    """One queue, as far as its consumer must know it."""

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

    def violation(self, queue: Queue) -> str | None:
        """Return the message when the queue violates the constraint, else None."""
        times = {name: value for name, value in vars(queue).items() if value is not None}
        bound = next(name for name in self.than if name in times)
        if times[self.longer] > times[bound]:
            return None
        longer, shorter = (name.replace("_", " ") for name in (self.longer, bound))
        return f"{longer} ({times[self.longer]} s) must exceed the {shorter} ({times[bound]} s), or {self.otherwise}"


@dataclass(frozen=True)
class Catalogue:
    """Every image and every queue by name, and the constraints on a queue's times."""

    images: dict[str, Image]
    queues: dict[str, Queue]
    time_constraints: tuple[TimeConstraint, ...]

    def image(self, name: str) -> Image:
        """Return the image of that name.

        Raises:
            ConfigurationError: the catalogue has no such image.
        """
        if name not in self.images:
            known = ", ".join(sorted(self.images))
            raise ConfigurationError(
                f"ALPHASWARM_IMAGE is {name!r}; the catalogue has {known}. The image sets it: use its entry point."
            )
        return self.images[name]

    def require(self, image: str, names: tuple[str, ...]) -> None:
        """Require that the queues belong to `image`: no queue may be consumed by two images.

        Raises:
            ConfigurationError: names every queue that does not, and the image it belongs to.
        """
        own = self.image(image).queues
        wrong = [self._describe_wrong(name) for name in names if name not in own]
        if wrong:
            raise ConfigurationError(f"{'; '.join(wrong)}. This is image {image!r}, which consumes {', '.join(own)}.")

    def _describe_wrong(self, name: str) -> str:
        if name in self.queues:
            return f"queue {name!r} belongs to image {self.queues[name].image!r}: run it there"
        return f"queue {name!r} is not in the catalogue"


def parse(text: str) -> Catalogue:
    """Parse the text of the file.

    Raises:
        ConfigurationError: it is not of the form above.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        images = {name: Image(**{**row, "queues": tuple(row["queues"])}) for name, row in data["images"].items()}
        queues = {name: Queue(**row) for name, row in data["queues"].items()}
        constraints = tuple(TimeConstraint(**{**row, "than": tuple(row["than"])}) for row in data["time_constraints"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"catalogue.json of the runtime cannot be read: {error}. Generate it anew.") from error
    return Catalogue(images, queues, constraints)


@cache
def load() -> Catalogue:
    """Load the catalogue of this package."""
    return parse(files("alphaswarm_runtime").joinpath("catalogue.json").read_text())
