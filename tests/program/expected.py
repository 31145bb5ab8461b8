"""What a stack should make of each row, worked out from the text of its file and not by the code under test."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from queues import QUEUES, AlwaysOn, Queue
from tests.program.harness import Configuration, configuration


@dataclass(frozen=True)
class Expected:
    """A queue's numbers in a stack; durations in seconds."""

    minimum: int
    maximum: int
    concurrency: int
    polling: int | None  # None where there is always a pod
    cooldown: int | None
    time_limit: int
    soft_shutdown: int | None
    grace_period: int
    visibility_timeout: int


def expected(stack: str) -> dict[str, Expected]:
    """Every queue's numbers in a stack's committed file."""
    plain = configuration(stack)
    return {queue.name: _of(queue, plain) for queue in QUEUES.queues}


def _of(queue: Queue, plain: Configuration) -> Expected:
    tuned: dict[str, Any] = plain.get("scaling", {}).get(queue.name, {})
    minimum, maximum = queue.replicas
    if plain["environment"] == "prod" and queue.always_on is AlwaysOn.PRODUCTION:
        minimum = max(minimum, 1)
    if queue.gpus and "gpu" in plain:
        maximum = max(plain["gpu"]["count"] // queue.gpus, 1)
    minimum, maximum = tuned.get("minReplicas", minimum), tuned.get("maxReplicas", maximum)
    polling, cooldown = (
        tuned.get("pollingInterval", _seconds(queue.polling_interval)),
        tuned.get("cooldownPeriod", _seconds(queue.cooldown_period)),
    )
    return Expected(
        minimum,
        maximum,
        tuned.get("concurrency", queue.concurrency),
        None if minimum else polling,
        None if minimum else cooldown,
        int(tuned.get("timeLimit", queue.time_limit.total_seconds())),
        tuned.get("softShutdown", _seconds(queue.soft_shutdown)),
        int(tuned.get("gracePeriod", queue.grace_period.total_seconds())),
        int(tuned.get("visibilityTimeout", queue.visibility_timeout.total_seconds())),
    )


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())
