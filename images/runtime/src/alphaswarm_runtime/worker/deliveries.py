"""What becomes of a delivered message before Celery starts its task: it may be parked, or a dead letter.

delivered too often                 a dead letter
an ETA, or beyond a rate limit      parked until then (holds.py)
a task that is not registered       parked for 15 s, 1, 4 and 16 minutes, then a dead letter: in a rolling
                                    deployment the next worker may know it
cannot be read                      a dead letter at once
"""

import logging
from typing import Any

from celery import signals

from alphaswarm_runtime.transport.channel import delivery_count, queue_of
from alphaswarm_runtime.transport.ledger import Hold
from alphaswarm_runtime.type_aliases import Consumer, Message
from alphaswarm_runtime.worker.context import WorkerContext
from alphaswarm_runtime.worker.holds import RateLimits, eta_hold, set_due

logger = logging.getLogger("alphaswarm_runtime.worker.deliveries")

UNREGISTERED_WAIT = 15  # seconds, four times as long each time


class Deliveries:
    """Decides for one consumer."""

    def __init__(self, consumer: Consumer, context: WorkerContext) -> None:
        self._consumer = consumer
        self._context = context
        self._rate_limits = RateLimits()

    def is_kept(self, message: Message) -> bool:
        """Move a message that must not be handled now to where it belongs; False for all others."""
        task = _headers(message).get("task")
        registered = task is None or task in self._consumer.strategies
        if registered and self._context.dead_letters.is_due(message):
            self._context.dead_letters.move_undying(message, self._consumer.hostname)
            return True
        hold = eta_hold(message, self._consumer.app) or self._rate_hold(task)
        if hold is None:
            return False
        if self._park(message, hold):
            return True
        if not hold.from_now:
            set_due(message)
        return False

    def keep_unregistered(self, message: Message, error: Exception) -> None:
        """Park a message whose task is not registered here; the last time, move it to the dead letters."""
        name = str(error.args[0])
        if not self._context.dead_letters.is_due(message):
            wait = UNREGISTERED_WAIT * 4 ** delivery_count(message)
            logger.error("task %s is not registered here; its message comes back in %d s", name, wait)
            self._park(message, Hold(wait, from_now=True, deliveries=1))
            return
        self._context.dead_letters.move(message, self._consumer.hostname, f"task {name} is not registered")
        task_id = _headers(message).get("id")
        signals.task_unknown.send(sender=self._consumer, message=message, exc=error, name=name, id=task_id)

    def reject(self, message: Message, reason: str, error: Exception | None = None) -> None:
        """Move a message that cannot be read to the dead letters."""
        self._context.dead_letters.move(message, self._consumer.hostname, reason)
        signals.task_rejected.send(sender=self._consumer, message=message, exc=error)

    def _park(self, message: Message, hold: Hold) -> bool:
        """Park a message; False where it is due already."""
        with self._context.redis.client() as client:
            parked = self._context.ledger.park(client, queue_of(message), message.delivery_tag, hold)
        if parked is False:
            return False
        message.channel.qos.forget(message.delivery_tag)
        return True

    def _rate_hold(self, task: str | None) -> Hold | None:
        if task is None or self._consumer.disable_rate_limits:
            return None
        bucket = self._consumer.task_buckets.get(task)
        return None if bucket is None else self._rate_limits.hold(task, bucket)


def _headers(message: Message) -> dict[str, Any]:
    return message.headers or {}
