"""Compares what the surfaces of a checkout say, queue by queue and field by field. The most surfaces are right."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from surfaces.equal import compose, data, dockerfile, kubernetes
from surfaces.equal.model import FIELDS, Reader, Reading, Surface, UnreadableError, format_value

WORKER: Final = "alphaswarm-worker"
EXECUTOR: Final = "alphaswarm-executor"
READERS: Final[Mapping[str, Reader]] = {
    "images/Dockerfile": dockerfile.dockerfile,
    "images/alphaswarm_worker/Dockerfile": dockerfile.dockerfile,
    "images/alphaswarm_executor/Dockerfile": dockerfile.dockerfile,
    "images/runtime/src/alphaswarm_runtime/catalogue.json": data.runtime_catalogue,
    "deploy/kustomize/base": kubernetes.base,
    "deploy/kustomize/components/per-queue": kubernetes.component,
    "deploy/kustomize/components/per-queue (scalers)": kubernetes.scalers,
    "deploy/compose.yaml": compose.compose,
    "deploy/compose.legacy.yaml": compose.compose,
    "deploy/image-catalogue.yaml": data.image_catalogue,
    "deploy/terraform": data.terraform,
    "docs/queues.md": data.page,
}
# Surfaces of one image alone.
OF_ONE_IMAGE: Final = {
    "images/alphaswarm_worker/Dockerfile": WORKER,
    "images/alphaswarm_executor/Dockerfile": EXECUTOR,
}
TOPOLOGY: Final = "deploy/topology"


def surfaces(root: Path) -> list[Surface]:
    """Return the surfaces of a checkout; a topology is one for each stack that has one."""
    stacks = sorted(file.name.split(".")[1] for file in root.glob("Pulumi.*.yaml"))
    readers = {**READERS, **{f"{TOPOLOGY}/{stack}.yaml": data.topology for stack in stacks}}
    return [Surface(name, reader, OF_ONE_IMAGE.get(name)) for name, reader in readers.items()]


def read(root: Path) -> tuple[list[Reading], list[str]]:
    """Return what was read, and an error for each surface that could not be."""
    readings, errors = [], []
    for surface in surfaces(root):
        try:
            readings.append(Reading(surface, tuple(surface.read(root / surface.path))))
        except FileNotFoundError as error:
            errors.append(f"{surface.name}: {error.filename} is missing")
        except (UnreadableError, yaml.YAMLError, ValueError) as error:
            errors.append(f"{surface.name}: cannot be read: {' '.join(str(error).split())}")
        except (KeyError, TypeError, AttributeError) as error:
            errors.append(f"{surface.name}: does not have the form that was written: {error!r}")
    return readings, errors


def differences(readings: Sequence[Reading]) -> list[str]:
    """Return a line for each difference, which begins with the surface's name."""
    complete = [reading for reading in readings if reading.surface.only is None]
    queues = Counter(queue for reading in complete for queue in reading.assignments)
    usual = [queue for queue, count in queues.items() if count * 2 > len(complete)]
    found = [line for reading in readings for line in _drained_twice(reading)]
    for reading in readings:
        found += _odd_queues(reading, usual, _wanted(reading, complete, usual))
    for queue in usual:
        for field in FIELDS:
            found += _odd_values(readings, queue, field)
    return found


def _drained_twice(reading: Reading) -> Iterator[str]:
    for queue in dict(reading.pairs):
        images = sorted({one.image for name, one in reading.pairs if name == queue})
        if len(images) > 1:
            yield f"{reading.surface.name}: queue {queue} is drained by {' and '.join(images)}"


def _wanted(reading: Reading, complete: Sequence[Reading], usual: Sequence[str]) -> list[str]:
    """Return the queues that a surface must name."""
    only = reading.surface.only
    return [queue for queue in usual if only is None or most(complete, queue, "image") == only]


def _odd_queues(reading: Reading, usual: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    for queue in wanted:
        if queue not in reading.assignments:
            yield f"{reading.surface.name}: queue {queue} is missing"
    for queue in reading.assignments:
        if queue not in usual:
            yield f"{reading.surface.name}: queue {queue!r} is on no other surface"


def _odd_values(readings: Sequence[Reading], queue: str, field: str) -> Iterator[str]:
    right = most(readings, queue, field)
    count = sum(value == right for _, value in _values(readings, queue, field))
    others = f"{count} other surfaces say" if count > 1 else "another one says"
    for surface, value in _values(readings, queue, field):
        if value != right:
            yield f"{surface}: queue {queue}: {field} is {format_value(value)}; {others} {format_value(right)}"


def most(readings: Sequence[Reading], queue: str, field: str) -> object:
    """Return what the most surfaces say of a field; None where none says anything."""
    counts = Counter(value for _, value in _values(readings, queue, field))
    return counts.most_common(1)[0][0] if counts else None


def _values(readings: Sequence[Reading], queue: str, field: str) -> list[tuple[str, object]]:
    return [
        (reading.surface.name, value)
        for reading in readings
        if queue in reading.assignments and (value := getattr(reading.assignments[queue], field)) is not None
    ]
