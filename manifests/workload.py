"""What one Deployment drains: a single queue, or all queues of an image.

For several queues in one pod every number suits the most demanding of them: the longest grace period, the longest
visibility timeout. A process has one soft shutdown, so it waits for the longest task that must not be re-queued.
"""

from dataclasses import dataclass
from datetime import timedelta

from config.schema import Settings
from config.tuning import tuned_catalogue
from queues import QUEUES, Image, Priority, Queue, ScaleDown

EVICTION_PATIENCE = timedelta(minutes=15)  # how long EKS waits for an eviction before it forces a node's update


@dataclass(frozen=True)
class Workload:
    """What one Deployment drains. `queues` is never empty, and all of them belong to `image`."""

    name: str
    image: Image
    queues: tuple[Queue, ...]
    concurrency: int
    max_replicas: int
    only_queue: Queue | None = None  # where the Deployment is that queue's own; an image's may have just one, too

    @property
    def min_replicas(self) -> int:
        """The least number of pods: as many as its queues' greatest minimum."""
        return max(queue.min_replicas for queue in self.queues)

    @property
    def grace_period(self) -> timedelta:
        """How long a pod gets to stop: `terminationGracePeriodSeconds`."""
        return max(queue.grace_period for queue in self.queues)

    @property
    def time_limit(self) -> timedelta:
        """Celery's hard time limit in this process."""
        return max(queue.time_limit for queue in self.queues)

    @property
    def visibility_timeout(self) -> timedelta:
        """How long an unacknowledged task waits until it is redelivered."""
        return max(queue.visibility_timeout for queue in self.queues)

    @property
    def soft_shutdown(self) -> timedelta | None:
        """How long after SIGTERM running tasks are re-queued; None where the process waits for all of them."""
        if all(queue.soft_shutdown is None for queue in self.queues):
            return None
        return max(queue.soft_shutdown or queue.time_limit for queue in self.queues)

    @property
    def scale_down(self) -> ScaleDown:
        """Disabled if it is for one of the queues."""
        return max((queue.scale_down for queue in self.queues), key=lambda rule: rule is ScaleDown.DISABLED)

    @property
    def reaches_zero(self) -> bool:
        """Whether there are times without a pod. Where there are none, a pod that may not be evicted holds its node."""
        return self.only_queue is not None and self.min_replicas == 0

    @property
    def uninterruptible(self) -> bool:
        """Whether nothing at all may evict running pods."""
        return self.scale_down is ScaleDown.DISABLED and self.reaches_zero

    def spared(self, evictable: bool | None) -> bool:
        """Return whether node autoscalers leave running pods alone.

        `evictable` is what the stack says of it; without a word, tasks decide that outlast an eviction's patience.
        """
        spared = self.uninterruptible or self.time_limit > EVICTION_PATIENCE if evictable is None else not evictable
        return spared and self.reaches_zero

    @property
    def priority(self) -> Priority:
        """The highest of its queues' priorities."""
        return max((queue.priority for queue in self.queues), key=lambda priority: priority.value)

    @property
    def gpus(self) -> int:
        """GPUs of each pod."""
        return max(queue.gpus for queue in self.queues)


def queue_workload(queue: Queue) -> Workload:
    """Return the workload of one queue."""
    return Workload(
        queue.deployment, QUEUES.image_of(queue.name), (queue,), queue.concurrency, queue.max_replicas, queue
    )


def image_workload(settings: Settings, image: Image) -> Workload:
    """Return the workload of one image, which drains all its queues."""
    queues = tuned_catalogue(settings).of(image)
    max_replicas = max(queue.max_replicas for queue in queues)
    if settings.gpu and (gpus := max(queue.gpus for queue in queues)):
        max_replicas = min(max_replicas, settings.gpu.count // gpus)
    return Workload(
        image.name, image, queues, image.concurrency, max(max_replicas, *(queue.min_replicas for queue in queues), 1)
    )
