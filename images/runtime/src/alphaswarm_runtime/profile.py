"""What one process drains, and by which limits: rows of the catalogue, tuned by the environment, made one.

One queue to a process is the rule in the cloud; its keys in Redis are its own, which makes HLEN of `unacked:<queue>`
the number of tasks it runs. A process that drains several queues (the per-image layout, Compose) has one connection
and so one set of keys, the image's, and must live by the longest times of its queues: a shorter visibility timeout
would hand a long task out again while it runs. Durations are seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alphaswarm_runtime.catalogue import Catalogue, Queue, TimeConstraint
from alphaswarm_runtime.environment import Environment, Tuning
from alphaswarm_runtime.errors import ConfigurationError

SOFT_MARGIN = 60  # seconds a task has to tidy up between its soft and its hard limit, at most a tenth of the latter


def soft_limit(hard: float) -> float:
    """When a task that may run `hard` seconds is told that its end is near."""
    return hard - min(SOFT_MARGIN, hard / 10)


@dataclass(frozen=True)
class Profile:
    """The limits of one process. `scope` names its keys: the queue's name, or the image's when there are several."""

    image: str
    rows: dict[str, Queue]
    scope: str
    concurrency: int

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues, in the order asked for."""
        return tuple(self.rows)

    @property
    def unacked_key(self) -> str:
        """The hash of messages delivered and not yet acknowledged."""
        return f"unacked:{self.scope}"

    @property
    def unacked_index_key(self) -> str:
        """When each of them was delivered."""
        return f"unacked_index:{self.scope}"

    @property
    def unacked_mutex_key(self) -> str:
        """Held by whoever hands overdue messages out again."""
        return f"unacked_mutex:{self.scope}"

    @property
    def owners_key(self) -> str:
        """Which process has each of them (taking.py)."""
        return f"owners:{self.scope}"

    @property
    def time_limit(self) -> int:
        """The longest any task of this process may run."""
        return max(row.time_limit for row in self.rows.values())

    @property
    def grace_period(self) -> int:
        """How long the process has between SIGTERM and SIGKILL."""
        return max(row.grace_period for row in self.rows.values())

    @property
    def visibility_timeout(self) -> int:
        """When an unacknowledged message is handed out again."""
        return max(row.visibility_timeout for row in self.rows.values())

    def row(self, queue: str) -> Queue:
        """The limits of a task of `queue`; for one that reached us by an unknown way, the most patient ones."""
        if queue in self.rows:
            return self.rows[queue]
        return max(self.rows.values(), key=lambda row: row.time_limit)


def of(environment: Environment, catalogue: Catalogue) -> Profile:
    """The profile the environment asks for.

    Raises ConfigurationError for a queue of another image, an unknown one, or times that break a constraint.
    """
    image = catalogue.image(environment.image)
    names = environment.queues or image.queues
    catalogue.require(environment.image, names)
    rows = {name: tuned(name, catalogue.queues[name], environment.tuning, catalogue.time_constraints) for name in names}
    alone = len(names) == 1
    return Profile(
        image=environment.image,
        rows=rows,
        scope=names[0] if alone else environment.image,
        concurrency=environment.concurrency or (rows[names[0]].concurrency if alone else image.concurrency),
    )


def tuned(name: str, row: Queue, tuning: Tuning, constraints: Sequence[TimeConstraint]) -> Queue:
    """The row with a stack's tuning, which must keep the catalogue's constraints."""
    changes = {key: value for key, value in vars(tuning).items() if value is not None}
    row = replace(row, **changes)
    if broken := [message for constraint in constraints if (message := constraint.broken_by(row))]:
        raise ConfigurationError(f"queue {name!r}, as tuned by ALPHASWARM_*: {'; '.join(broken)}.")
    return row
