"""When each entry of the schedule was sent last, kept in Redis beside the lease.

Celery's scheduler keeps it in a file, which a new pod does not have: an entry whose interval is longer than the time
between two deployments would never be sent, and a standby that takes over would send what the other one has sent. A
scheduler with a store of its own, such as a database, keeps that.
"""

import logging
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import beat

from alphaswarm_runtime.transport.broker import RedisConnection
from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import App, ScheduleEntry

logger = logging.getLogger("alphaswarm_runtime.scheduler.last_runs")

KEY = "beat:last_runs"  # hash: an entry's name to seconds since 1970


class LastRuns:
    """The times of one application's schedule. `catch_up` is how many seconds late an entry is sent at most."""

    def __init__(self, app: App, redis: RedisConnection, catch_up: float) -> None:
        self._app = app
        self._redis = redis
        self._catch_up = catch_up

    def load(self, schedule: Mapping[str, ScheduleEntry]) -> None:
        """Set when each entry was sent last. What was missed is sent once, and what is too late not at all.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        with self._redis.client() as client:
            for name, entry in schedule.items():
                client.hsetnx(KEY, name, entry.last_run_at.timestamp())
            stored = {as_text(name): float(at) for name, at in client.hgetall(KEY).items()}
        now = time.time()
        for name, entry in schedule.items():
            # Not in the future: the scheduler before this one may have had another clock.
            entry.last_run_at = datetime.fromtimestamp(min(stored[name], now), self._app.timezone)
            late = _seconds_late(entry)
            if late > self._catch_up:
                logger.warning("entry %s of the schedule is %d s late: it waits for its next time", name, late)
                entry.last_run_at = datetime.now(self._app.timezone)

    def record(self, name: str) -> None:
        """Record that an entry was sent.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        with self._redis.client() as client:
            client.hset(KEY, name, time.time())


def _seconds_late(entry: ScheduleEntry) -> float:
    """Return how late an entry is; 0 for a schedule of the application's own that cannot tell, as Celery allows."""
    try:
        return float(-entry.schedule.remaining_estimate(entry.last_run_at).total_seconds())
    except Exception as error:  # noqa: BLE001 one entry must not keep the others from being sent
        logger.warning("how late entry %s of the schedule is cannot be told: %r", entry.name, error)
        return 0.0


def keeps_none(scheduler: Any) -> bool:  # noqa: ANN401 a subclass of celery.beat.Scheduler
    """Return whether a scheduler keeps these times in a file or not at all, as Celery's do and what is made of them.

    One with a store of its own has entries of its own, which read and write there.
    """
    return bool(scheduler.Entry is beat.ScheduleEntry)
