"""What lies behind the directories that an image may write to: `fleet:volumes`.

Without an entry a directory is an emptyDir, which ends with its pod.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field

from config.errors import Section
from config.pods import ObjectName, Size
from queues import IMAGES, Image

CACHE_DIRECTORY: Final = "/app/cache"
DEFAULT_SIZE: Final = "20Gi"
SUB_PATH: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$"


def directories(image: Image) -> tuple[str, ...]:
    """Return the directories of an image's workers that a volume may lie behind."""
    return (*image.directories, CACHE_DIRECTORY)


DIRECTORIES: Final = (*dict.fromkeys(path for image in IMAGES for path in image.directories), CACHE_DIRECTORY)

QueueNames = Annotated[tuple[str, ...], Field(min_length=1)]
QUEUES_DESCRIPTION: Final = "the queues whose workers have it; without it those of every queue"


class EmptyDirVolume(Section):
    """Room on the node's disk, which ends with the pod."""

    kind: Literal["emptyDir"] = Field(description="`emptyDir`")
    size: Size = Field(DEFAULT_SIZE, description="the most it may hold; a pod that writes more is evicted")
    queues: QueueNames | None = Field(None, description=QUEUES_DESCRIPTION)


class ClaimVolume(Section):
    """An existing PersistentVolumeClaim. What is in it outlives the pods."""

    kind: Literal["claim"] = Field(description="`claim`")
    claim: ObjectName = Field(description="the claim's name")
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"] = Field(
        "ReadWriteMany", description="the claim's access mode; but for the first, one pod at most may have it"
    )
    sub_path: str | None = Field(None, pattern=SUB_PATH, description="a folder in the volume, made when it is missing")
    queues: QueueNames | None = Field(None, description=QUEUES_DESCRIPTION)


class EphemeralVolume(Section):
    """A volume of each pod's own from a storage class, for more room than the node's disk has; it ends with the pod."""

    kind: Literal["ephemeral"] = Field(description="`ephemeral`")
    storage_class: ObjectName | None = Field(None, description="the StorageClass; without it the cluster's default")
    size: Size = Field(description="how much it holds")
    queues: QueueNames | None = Field(None, description=QUEUES_DESCRIPTION)


Volume = Annotated[EmptyDirVolume | ClaimVolume | EphemeralVolume, Field(discriminator="kind")]


def is_for(volume: Volume, queues: Iterable[str]) -> bool:
    """Return whether a worker of these queues has the volume."""
    return volume.queues is None or not set(volume.queues).isdisjoint(queues)
