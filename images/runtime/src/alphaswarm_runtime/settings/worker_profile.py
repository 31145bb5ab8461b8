"""What one worker process consumes, and its limits: the catalogue's queues with the environment's tuning.

In the cloud a process usually consumes one queue. One that consumes several (the per-image layout, Compose) has the
longest grace period of its queues; each message keeps its own queue's visibility timeout. Durations are seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings.catalogue import Catalogue, Queue, TimeConstraint
from alphaswarm_runtime.settings.environment import Environment, Tuning

SOFT_MARGIN = 60  # seconds between the soft and the hard time limit, at most a tenth of the latter


def soft_time_limit(hard: float) -> float:
    """Return the soft time limit that belongs to a hard one."""
    return hard - min(SOFT_MARGIN, hard / 10)


@dataclass(frozen=True)
class WorkerProfile:
    """The queues and limits of one process."""

    image: str
    queues: dict[str, Queue]
    concurrency: int
    max_tasks_per_child: int | None = None  # None: as the application says
    max_memory_per_child: int | None = None  # KiB, as Celery counts

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The names of the queues, in the order asked for."""
        return tuple(self.queues)

    @property
    def time_limit(self) -> int:
        """The longest that any task of this process may run."""
        return max(queue.time_limit for queue in self.queues.values())

    @property
    def grace_period(self) -> int:
        """The time between SIGTERM and SIGKILL."""
        return max(queue.grace_period for queue in self.queues.values())

    def queue(self, name: str) -> Queue:
        """Return a queue by name; for a task from an unknown queue, the one with the longest time limit."""
        if name in self.queues:
            return self.queues[name]
        return max(self.queues.values(), key=lambda queue: queue.time_limit)


def create(environment: Environment, catalogue: Catalogue) -> WorkerProfile:
    """Create the profile that the environment asks for.

    Raises:
        ConfigurationError: a queue of another image, an unknown one, or times that violate a constraint.
    """
    image = catalogue.image(environment.image)
    names = environment.queues or image.queues
    catalogue.require(environment.image, names)
    queues = {
        name: _tune(name, catalogue.queues[name], environment.tuning, catalogue.time_constraints) for name in names
    }
    single = len(names) == 1
    return WorkerProfile(
        image=environment.image,
        queues=queues,
        concurrency=environment.concurrency or (queues[names[0]].concurrency if single else image.concurrency),
        max_tasks_per_child=environment.max_tasks_per_child,
        max_memory_per_child=environment.max_memory_per_child,
    )


def _tune(name: str, queue: Queue, tuning: Tuning, constraints: Sequence[TimeConstraint]) -> Queue:
    changes = {key: value for key, value in vars(tuning).items() if value is not None}
    queue = replace(queue, **changes)
    if violations := [message for constraint in constraints if (message := constraint.violation(queue))]:
        raise ConfigurationError(f"queue {name!r}, as tuned by ALPHASWARM_*: {'; '.join(violations)}.")
    return queue
