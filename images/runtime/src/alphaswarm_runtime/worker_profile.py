"""What one worker process consumes, and its limits: the catalogue's queues with the environment's tuning.

In the cloud a process usually consumes one queue. Its Redis keys belong to it alone, so HLEN of `unacked:<queue>` is
the number of running tasks. A process that consumes several queues (the per-image layout, Compose) has one connection
and so one set of keys, the image's. It uses the longest times of its queues: with a shorter visibility timeout, a long
task would be redelivered while it runs. Durations are seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alphaswarm_runtime.catalogue import Catalogue, Queue, TimeConstraint
from alphaswarm_runtime.environment import Environment, Tuning
from alphaswarm_runtime.errors import ConfigurationError

SOFT_MARGIN = 60  # seconds between the soft and the hard time limit, at most a tenth of the latter


def soft_time_limit(hard: float) -> float:
    """Return the soft time limit that belongs to a hard one."""
    return hard - min(SOFT_MARGIN, hard / 10)


@dataclass(frozen=True)
class WorkerProfile:
    """The queues and limits of one process. `scope` names its keys: the queue, or the image for several queues."""

    image: str
    queues: dict[str, Queue]
    scope: str
    concurrency: int

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The names of the queues, in the order asked for."""
        return tuple(self.queues)

    @property
    def unacked_key(self) -> str:
        """The hash of messages that were delivered and not yet acknowledged."""
        return f"unacked:{self.scope}"

    @property
    def unacked_index_key(self) -> str:
        """The sorted set that says when each of them was delivered."""
        return f"unacked_index:{self.scope}"

    @property
    def unacked_mutex_key(self) -> str:
        """The lock of the process that restores overdue messages."""
        return f"unacked_mutex:{self.scope}"

    @property
    def owners_key(self) -> str:
        """The hash of the process that owns each of them (transport.py)."""
        return f"owners:{self.scope}"

    @property
    def time_limit(self) -> int:
        """The longest that any task of this process may run."""
        return max(queue.time_limit for queue in self.queues.values())

    @property
    def grace_period(self) -> int:
        """The time between SIGTERM and SIGKILL."""
        return max(queue.grace_period for queue in self.queues.values())

    @property
    def visibility_timeout(self) -> int:
        """The time after which an unacknowledged message is redelivered."""
        return max(queue.visibility_timeout for queue in self.queues.values())

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
        scope=names[0] if single else environment.image,
        concurrency=environment.concurrency or (queues[names[0]].concurrency if single else image.concurrency),
    )


def _tune(name: str, queue: Queue, tuning: Tuning, constraints: Sequence[TimeConstraint]) -> Queue:
    changes = {key: value for key, value in vars(tuning).items() if value is not None}
    queue = replace(queue, **changes)
    if violations := [message for constraint in constraints if (message := constraint.violation(queue))]:
        raise ConfigurationError(f"queue {name!r}, as tuned by ALPHASWARM_*: {'; '.join(violations)}.")
    return queue
