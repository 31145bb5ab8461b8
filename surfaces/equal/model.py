"""What a surface says of a queue, and what it means that two surfaces differ."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

# The one in C is ten times faster; PyYAML may have been built without it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Assignment:
    """What a surface says of one queue; None where it says nothing.

    `concurrency` is that of a process for all queues of an image, `own_concurrency` that of a queue's own process.
    Requests and limits are thousandths of a processor and MiB; `target` is a stage of the root Dockerfile; `user` a
    UID.
    """

    image: str
    concurrency: int | None = None
    own_concurrency: int | None = None
    requests: tuple[int, int] | None = None
    limits: tuple[int, int] | None = None
    target: str | None = None
    user: int | None = None

    def said(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that the surface says something of."""
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                yield field.name, value


def format_value(value: object) -> str:
    """Return a field's value as people read it: amounts with their units, `-` for nothing."""
    if isinstance(value, tuple):
        milli, mebibytes = value
        return f"{milli}m {mebibytes}Mi"
    return "-" if value is None else str(value)


FIELDS = tuple(field.name for field in fields(Assignment))
Pair = tuple[str, Assignment]
Reader = Callable[[Path], Iterator[Pair]]


class UnreadableError(Exception):
    """A surface that cannot be read: the file is missing, or does not have the form that its reader knows."""


@dataclass(frozen=True)
class Surface:
    """One surface, and the reader that yields a pair for each queue and whoever drains it.

    It names every queue, or every one of the image `only`.
    """

    name: str
    read: Reader
    only: str | None = None

    @property
    def path(self) -> str:
        """Its file or folder; a note in brackets says what of it is read."""
        return self.name.partition(" (")[0]


@dataclass(frozen=True)
class Reading:
    """What was read from a surface: pairs, since a queue that two images drain has two."""

    surface: Surface
    pairs: tuple[Pair, ...]

    @property
    def assignments(self) -> Mapping[str, Assignment]:
        """What the surface says by queue; of a queue that stands there twice, the first."""
        found: dict[str, Assignment] = {}
        for queue, assignment in self.pairs:
            found.setdefault(queue, assignment)
        return found


def memory(text: str) -> int:
    """Return MiB: of Kubernetes' quantities `1Gi` and `512Mi`, and of Compose's `512m` and `1g`.

    Raises:
        UnreadableError: another unit.
    """
    for suffix, factor in (("Gi", 1024), ("Mi", 1), ("g", 1024), ("m", 1)):
        if text.endswith(suffix) and text.removesuffix(suffix).isdigit():
            return int(text.removesuffix(suffix)) * factor
    raise UnreadableError(f"{text!r} is no amount of memory")


def processors(text: str) -> int:
    """Return thousandths of a processor, of `500m`, `4` or `0.5`.

    Raises:
        UnreadableError: no number.
    """
    try:
        return int(text.removesuffix("m")) if text.endswith("m") else round(float(text) * 1000)
    except ValueError:
        raise UnreadableError(f"{text!r} is no amount of processors") from None


def amounts(given: Mapping[str, str], cpu: str = "cpu") -> tuple[int, int]:
    """Return requests or limits: thousandths of a processor, whose key is `cpu`, and MiB.

    Raises:
        UnreadableError: one is no amount.
    """
    return processors(given[cpu]), memory(given["memory"])


def parse_yaml(text: str) -> Any:  # noqa: ANN401 any YAML
    """Return a document.

    Raises:
        YAMLError: it is none.
    """
    return yaml.load(text, Loader=LOADER)  # noqa: S506 both are the safe ones


def parse_documents(text: str) -> Iterator[Any]:
    """Yield the documents of a file.

    Raises:
        YAMLError: one is none.
    """
    return iter(yaml.load_all(text, Loader=LOADER))
