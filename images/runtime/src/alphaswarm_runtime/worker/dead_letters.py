"""Moves a message that must not be started again to the dead letters, and tells whoever waits for its result.

A task that kills its worker comes back each time, and would block its queue for ever. So a message is delivered a
bounded number of times (delivery_count in transport/channel.py): its count grows when it comes back from an owner that
died, or from a task that ended its own process. A shutdown, a lost connection or the task's own wish to be requeued
counts nothing, so no rollout brings a healthy task nearer to the limit. `task.retry()` sends a new message.

A dead letter is the message itself, and its header `dead` says when, where and why. One command requeues it, to be
delivered as often as a new message:  LMOVE dead:{<queue>} <queue> RIGHT LEFT
"""

import json
import logging
import time
from typing import Any

from celery.app.task import Context
from celery.exceptions import WorkerLostError

from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.broker import RedisConnection
from alphaswarm_runtime.transport.channel import DELIVERY_COUNT, QUEUE, delivery_count, queue_of
from alphaswarm_runtime.transport.ledger import Ledger
from alphaswarm_runtime.type_aliases import App, Message

logger = logging.getLogger("alphaswarm_runtime.worker.dead_letters")


class DeadLetters:
    """The dead letters of this process' queues. `limit` is how often a message may be delivered."""

    def __init__(self, app: App, redis: RedisConnection, ledger: Ledger, metrics: Metrics, limit: int) -> None:
        self._app = app
        self._redis = redis
        self._ledger = ledger
        self._metrics = metrics
        self._limit = limit

    def is_due(self, message: Message) -> bool:
        """Return whether the message must not be delivered again."""
        return delivery_count(message) >= self._limit

    def move_undying(self, message: Message, hostname: str) -> None:
        """Move a message that was delivered too often."""
        reason = f"started {self._limit} times and never ended: it kills its worker, or outlives it"
        self.move(message, hostname, reason)

    def move(self, message: Message, hostname: str, reason: str) -> None:
        """Move the message, and store the failure of its task."""
        queue, headers = queue_of(message), message.headers or {}
        if "id" in headers:  # first: should this process die in between, the message comes back and is moved then
            self._store_failure(message, f"moved to {keys.dead(queue)}: {reason}")
        with self._redis.client() as client:
            letter = json.dumps(_letter(message, hostname, reason))
            moved = self._ledger.dead_letter(client, queue, message.delivery_tag, letter)
        message.channel.qos.forget(message.delivery_tag)
        if moved:
            name, task_id = headers.get("task"), headers.get("id")
            logger.error("task %s[%s] moved to %s: %s", name, task_id, keys.dead(queue), reason)
            self._metrics.count_task(queue, "dead")

    def _store_failure(self, message: Message, reason: str) -> None:
        """Tell whoever waits: the result, the task's errbacks, and the chord or chain that it is a part of."""
        task_id = message.headers["id"]
        try:
            self._app.backend.mark_as_failure(task_id, WorkerLostError(reason), request=_request(message))
        except Exception:
            logger.exception("the failure of task %s could not be stored", task_id)


def _request(message: Message) -> Context:
    """Return the task's request, as Celery builds it from headers and body."""
    properties = {name: message.properties.get(name) for name in ("correlation_id", "reply_to")}
    embedded_by_default = {"errbacks": None, "chord": None, "chain": None}
    delivery_info = dict(message.delivery_info or {})
    request = {**embedded_by_default, **message.headers, **properties, "delivery_info": delivery_info}
    try:
        request["args"], request["kwargs"], embedded = message.decode()
        request.update(embedded)
    except Exception as error:  # noqa: BLE001  it is a dead letter because it cannot be read, or of an older protocol
        logger.debug("the body of task %s cannot be read: %s", message.headers["id"], error)
    return Context(request)


def _letter(message: Message, hostname: str, reason: str) -> dict[str, Any]:
    raw = {key: value for key, value in message._raw.items() if key not in (DELIVERY_COUNT, QUEUE)}  # noqa: SLF001
    headers = {key: value for key, value in (raw.get("headers") or {}).items() if key != "redelivered"}
    dead = {"at": time.time(), "on": hostname, "queue": queue_of(message), "why": reason}
    raw["properties"].get("delivery_info", {}).pop("redelivered", None)
    return {**raw, "headers": {**headers, "dead": dead}}
