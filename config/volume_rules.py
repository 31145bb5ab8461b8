"""Validation of `fleet:volumes` beyond what each key allows: directories, queues, and who may share a claim."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.errors import ErrorLine, below, comma_separated, no_such_queue, suggestion
from config.tuning import tuned_max_pods
from config.volumes import DIRECTORIES, ClaimVolume, Volume, directories, is_for
from queues import QUEUES, Queue

VOLUMES: Final = "fleet:volumes"


def volume_rule(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    """Yield the errors of `fleet:volumes`."""
    volumes = {name: volume for name, volume in (sections.get("volumes") or {}).items() if name in DIRECTORIES}
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
            queues = {
                queue.name: queue
                for folder, other in volumes.items()
                if isinstance(other, ClaimVolume) and other.claim == volume.claim
                for queue in queues_with(folder, other)
            }
            yield from _claim_errors(key, sections, list(queues.values()), volume)


def queues_with(directory: str, volume: Volume) -> list[Queue]:
    """Return the queues whose workers have the volume behind the directory."""
    return [queue for queue in QUEUES.queues if directory in directories(queue.image) and is_for(volume, (queue.name,))]


def _queue_errors(key: str, directory: str, volume: Volume) -> Iterator[ErrorLine]:
    for index, name in enumerate(volume.queues or ()):
        if name not in QUEUES.names:
            yield ErrorLine(f"{key}.queues[{index}]", no_such_queue(name, QUEUES.names))
        elif directory not in directories(QUEUES.image_of(name)):
            yield ErrorLine(
                f"{key}.queues[{index}]", f"given {name!r}; {QUEUES.image_of(name).name} has no {directory}"
            )


def _claim_errors(
    key: str, sections: Mapping[str, Any], queues: list[Queue], volume: ClaimVolume
) -> Iterator[ErrorLine]:
    """Yield an error where more than one pod would have a claim, behind whatever directories."""
    scaling, gpu = sections.get("scaling") or {}, sections.get("gpu")
    pods = sum(tuned_max_pods(queue, scaling.get(queue.name), gpu) for queue in queues)
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
