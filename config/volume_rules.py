"""Validation of `fleet:volumes` beyond what each key allows: directories, queues, and who may share a claim."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.errors import ErrorLine, below, comma_separated, suggestion
from config.tuning import max_pods
from config.volumes import CACHE_DIRECTORY, DIRECTORIES, ClaimVolume, Volume
from queues import QUEUES, Queue

VOLUMES: Final = "fleet:volumes"


def volume_rule(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    """Yield the errors of `fleet:volumes`."""
    for directory, volume in (sections.get("volumes") or {}).items():
        key = below(VOLUMES, directory)
        if directory not in DIRECTORIES:
            yield ErrorLine(
                key,
                f"no image has this directory{suggestion(directory, DIRECTORIES)}; they have "
                f"{comma_separated(DIRECTORIES)}: another one is a volume of fleet:pods",
            )
            continue
        yield from _queue_errors(key, directory, volume)
        if isinstance(volume, ClaimVolume) and volume.access_mode != "ReadWriteMany":
            yield from _claim_errors(key, sections, directory, volume)


def queues_with(directory: str, volume: Volume) -> list[Queue]:
    """Return the queues whose workers have the volume behind the directory."""
    return [
        queue
        for queue in QUEUES.queues
        if directory in (*queue.image.directories, CACHE_DIRECTORY)
        and (volume.queues is None or queue.name in volume.queues)
    ]


def _queue_errors(key: str, directory: str, volume: Volume) -> Iterator[ErrorLine]:
    for index, name in enumerate(volume.queues or ()):
        if name not in QUEUES.names:
            yield ErrorLine(
                f"{key}.queues[{index}]",
                f"there is no such queue{suggestion(name, QUEUES.names)}; "
                f"queues.py has {comma_separated(QUEUES.names)}",
            )
        elif directory not in (*QUEUES.image_of(name).directories, CACHE_DIRECTORY):
            yield ErrorLine(
                f"{key}.queues[{index}]", f"given {name!r}; {QUEUES.image_of(name).name} has no {directory}"
            )


def _claim_errors(key: str, sections: Mapping[str, Any], directory: str, volume: ClaimVolume) -> Iterator[ErrorLine]:
    queues, scaling, gpu = queues_with(directory, volume), sections.get("scaling") or {}, sections.get("gpu")
    pods = 0
    for queue in queues:
        tuning = scaling.get(queue.name)
        pods += (tuning.max_replicas if tuning else None) or max_pods(queue, gpu)
    if sections.get("layout") == "per-image":
        named = comma_separated({queue.image.name for queue in queues})
        yield ErrorLine(
            f"{key}.accessMode",
            f"given '{volume.access_mode}'; in layout per-image all pods of {named} have it: one with ReadWriteMany",
        )
    elif pods > 1:
        names = comma_separated(queue.name for queue in queues)
        yield ErrorLine(
            f"{key}.accessMode",
            f"given '{volume.access_mode}'; up to {pods} pods have it (queues {names}): a claim with ReadWriteMany, or "
            "queues with one pod at most",
        )
