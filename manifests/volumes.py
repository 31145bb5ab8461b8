"""A pod's writable directories: on the node's disk, in memory, on a claim, or on a volume of the pod's own.

The root file system is read-only, so these and a stack's own mounts are all that a pod can write to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from config.quantities import mebibytes
from config.schema import Settings
from config.volumes import (
    DEFAULT_SIZE,
    ClaimVolume,
    EmptyDirVolume,
    EphemeralVolume,
    Volume,
    directories,
    is_for,
)
from manifests import Manifest
from queues import Image, Queue

TMP_DIRECTORY: Final = "/tmp"  # noqa: S108 the container's own
TMP_SIZE: Final = "2Gi"
SHARED_MEMORY_DIRECTORY: Final = "/dev/shm"  # noqa: S108 the container's own
ON_DISK: Final = EmptyDirVolume(kind="emptyDir", size=DEFAULT_SIZE, queues=None)


@dataclass(frozen=True)
class MountedVolume:
    """A volume of a pod and its mount in the container. `disk` is its room on the node's disk, in MiB."""

    volume: Manifest
    mount: Manifest
    disk: int = 0


def worker_volumes(
    settings: Settings, image: Image, queues: Sequence[Queue], shared_memory: str
) -> tuple[MountedVolume, ...]:
    """Return the volumes of a worker of `queues`, with `shared_memory` as the size of /dev/shm."""
    return (
        _mounted(TMP_DIRECTORY, ON_DISK.model_copy(update={"size": TMP_SIZE})),
        *(_mounted(path, volume_of(settings, path, queues)) for path in directories(image)),
        _in_memory(SHARED_MEMORY_DIRECTORY, shared_memory),
    )


def beat_volumes(image: Image) -> tuple[MountedVolume, ...]:
    """Return the volumes of beat, which computes nothing and keeps nothing."""
    return (
        _mounted(TMP_DIRECTORY, ON_DISK.model_copy(update={"size": TMP_SIZE})),
        *(_mounted(path, ON_DISK) for path in directories(image)),
    )


def volume_of(settings: Settings, directory: str, queues: Sequence[Queue]) -> Volume:
    """Return what lies behind a directory in a pod that drains `queues`."""
    volume = settings.volumes.get(directory, ON_DISK)
    return volume if is_for(volume, (queue.name for queue in queues)) else ON_DISK


def single_pod_claims(settings: Settings, image: Image, queues: Sequence[Queue]) -> Iterator[ClaimVolume]:
    """Yield the claims of a worker that one pod at most can have."""
    for directory in directories(image):
        volume = volume_of(settings, directory, queues)
        if isinstance(volume, ClaimVolume) and volume.access_mode != "ReadWriteMany":
            yield volume


def _mounted(path: str, volume: Volume) -> MountedVolume:
    name = path.rsplit("/", maxsplit=1)[-1]
    mount: Manifest = {"name": name, "mountPath": path}
    match volume:
        case EmptyDirVolume():
            return MountedVolume(
                {"name": name, "emptyDir": {"sizeLimit": volume.size}}, mount, disk=mebibytes(volume.size)
            )
        case ClaimVolume():
            claim = {"name": name, "persistentVolumeClaim": {"claimName": volume.claim}}
            return MountedVolume(claim, {**mount, "subPath": volume.sub_path} if volume.sub_path else mount)
        case EphemeralVolume():
            return MountedVolume({"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": _claim(volume)}}}, mount)


def _claim(volume: EphemeralVolume) -> Manifest:
    storage_class = {"storageClassName": volume.storage_class} if volume.storage_class else {}
    return {
        "accessModes": ["ReadWriteOnce"],
        **storage_class,
        "resources": {"requests": {"storage": volume.size}},
    }


def _in_memory(path: str, size: str) -> MountedVolume:
    name = path.rsplit("/", maxsplit=1)[-1]
    return MountedVolume(
        {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}, {"name": name, "mountPath": path}
    )
