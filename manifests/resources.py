"""How much of a node a container takes: the image's profile, as a stack tunes it.

The disk limit is the room of everything on the node's disk, so that a pod that fills one of its directories is evicted
for that directory and not before. /dev/shm is memory: what lies in it counts against the container's memory limit.
"""

from collections.abc import Mapping
from typing import Final

from config.plain_objects import is_in_memory
from config.pods import Amounts, PlainObject, PodOptions, WorkerOptions
from config.quantities import format_mebibytes, mebibytes, milli_cpu, rounded_mebibytes
from manifests import Manifest
from queues import Resources

DISK_REQUEST: Final = "1Gi"  # what a pod writes whatever its tasks do
DISK_OF_SIDECAR: Final = "1Gi"  # a sidecar's log files and what it writes, unless it says so itself
DISK_OF_LOGS: Final = 1024  # MiB: the container's log files, which count against its limit
SHARED_MEMORY_PART: Final = 4  # of the memory limit: Ray and torch put whole arrays there


def resources(
    requests: Resources, limits: Resources, options: PodOptions, disk: int, more: Mapping[str, str] | None = None
) -> Manifest:
    """Return a container's requests and limits.

    Args:
        requests: the profile's requests.
        limits: the profile's limits.
        options: the stack's tuning of them.
        disk: the room of the fleet's own volumes on the node's disk, in MiB; the stack's are added.
        more: extended resources, such as GPUs.
    """
    tuned, extended = options.resources, more or {}
    own = sum(rounded_mebibytes(volume["emptyDir"]["sizeLimit"]) for volume in options.volumes if _is_on_disk(volume))
    room = format_mebibytes(disk + own + DISK_OF_LOGS)
    requested, limit = tuned.requests.ephemeral_storage, tuned.limits.ephemeral_storage
    return {
        "requests": {**_amounts(requests, min(DISK_REQUEST, limit or room, key=mebibytes), tuned.requests), **extended},
        "limits": {**_amounts(limits, max(room, requested or room, key=mebibytes), tuned.limits), **extended},
    }


def _is_on_disk(volume: PlainObject) -> bool:
    return "emptyDir" in volume and not is_in_memory(volume)


def _amounts(profile: Resources, disk: str, tuned: Amounts) -> dict[str, str]:
    return {
        "cpu": tuned.cpu or profile.cpu,
        "memory": tuned.memory or profile.memory,
        "ephemeral-storage": tuned.ephemeral_storage or disk,
    }


def shared_memory(limits: Resources, options: WorkerOptions) -> str:
    """Return the size of /dev/shm."""
    return options.shared_memory or format_mebibytes(mebibytes(memory_limit(limits, options)) // SHARED_MEMORY_PART)


def memory_limit(limits: Resources, options: PodOptions) -> str:
    """Return a container's memory limit."""
    return options.resources.limits.memory or limits.memory


def threads(limits: Resources, options: WorkerOptions, concurrency: int) -> int:
    """Return how many threads a library may start in each of `concurrency` processes: their share of the processors."""
    processors = milli_cpu(options.resources.limits.cpu or limits.cpu) // 1000
    return options.threads or max(processors // concurrency, 1)
