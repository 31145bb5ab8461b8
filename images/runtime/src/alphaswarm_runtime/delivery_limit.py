"""Counts how often a message's task was started, and moves a message that reached the limit to the dead letters.

A task that kills its worker is redelivered each time, and would block its queue for ever. So a message may be
*started* `limit` times. Delivered once more, it goes to the list `dead:<queue>`, its result becomes a failure, and
the queue goes on.

`deliveries:<queue>:<delivery tag>` counts the starts of a message that is marked as redelivered. The first start is not
counted, so a message has had 1 + counter starts. The tag is the message's, not the task's: `task.retry()` sends a new
message, which starts from zero. A start is uncounted when the task is not to blame for its end (the worker shut down,
the connection was lost, the task asked to be requeued), so no rollout brings a healthy task nearer to the limit.
The counter expires COUNTER_TTL seconds after its last change.

A dead letter is the message itself, and its header `dead` says when, where and why. One command requeues it, to be
started as often as a new message:  LMOVE dead:<queue> <queue> RIGHT LEFT
"""

import json
import logging
import time
from typing import Any

from alphaswarm_runtime.broker import RedisConnection
from alphaswarm_runtime.type_aliases import Message, Pipeline
from alphaswarm_runtime.worker_profile import WorkerProfile

logger = logging.getLogger("alphaswarm_runtime.delivery_limit")

COUNTER_TTL = 7 * 24 * 3600  # a week: a requeued message waits behind the whole queue


class DeliveryLimit:
    """The start counters of one process' messages, and the dead letters of its queues."""

    def __init__(self, redis: RedisConnection, profile: WorkerProfile, limit: int) -> None:
        self._redis = redis
        self._profile = profile
        self._limit = limit

    def count_start(self, queue: str, message: Message) -> None:
        """Count a start of the message's task, which is about to run."""
        if _is_redelivered(message):
            self._add(queue, message.delivery_tag, 1)

    def uncount_start(self, queue: str, message: Message) -> None:
        """Take back the last start: the task is not to blame for its end."""
        self._add(queue, message.delivery_tag, -1)

    def is_reached(self, queue: str, message: Message) -> bool:
        """Return whether the message's task must not be started again."""
        return self._starts(queue, message) >= self._limit

    def dead_letter(self, queue: str, message: Message, hostname: str) -> str:
        """Move the message to the queue's dead letters, in one transaction.

        Returns:
            The reason, as it stands in the dead letter.
        """
        tag = message.delivery_tag
        reason = f"started {self._limit} times and never ended: it kills its worker, or outlives it"
        with self._redis.client() as client:
            unacked = client.hget(self._profile.unacked_key, tag)
            if unacked is not None:
                raw = json.loads(unacked)[0]
                _unmark_redelivered(raw)
                dead = {"at": time.time(), "on": hostname, "queue": queue, "why": reason}
                raw.setdefault("headers", {})["dead"] = dead
                pipe = client.pipeline(transaction=True)
                pipe.lpush(f"dead:{queue}", json.dumps(raw))
                self._remove_unacked(pipe, tag)
                pipe.delete(_counter_key(queue, tag))
                pipe.execute()
        headers = message.headers or {}
        logger.error("task %s[%s] moved to dead:%s: %s", headers.get("task"), headers.get("id"), queue, reason)
        return reason

    def ack_detached(self, message: Message) -> None:
        """Acknowledge a message whose channel is closed, over this process' own connection."""
        with self._redis.client() as client:
            pipe = client.pipeline(transaction=True)
            self._remove_unacked(pipe, message.delivery_tag)
            pipe.execute()

    def _starts(self, queue: str, message: Message) -> int:
        if not _is_redelivered(message):
            return 0
        with self._redis.client() as client:
            return 1 + int(client.get(_counter_key(queue, message.delivery_tag)) or 0)

    def _remove_unacked(self, pipe: Pipeline, tag: str) -> None:
        pipe.hdel(self._profile.unacked_key, tag)
        pipe.zrem(self._profile.unacked_index_key, tag)
        pipe.hdel(self._profile.owners_key, tag)

    def _add(self, queue: str, tag: str, amount: int) -> None:
        with self._redis.client() as client:
            pipe = client.pipeline(transaction=True)
            pipe.incrby(_counter_key(queue, tag), amount)
            pipe.expire(_counter_key(queue, tag), COUNTER_TTL)
            pipe.execute()


def _counter_key(queue: str, tag: str) -> str:
    return f"deliveries:{queue}:{tag}"


def _unmark_redelivered(raw: dict[str, Any]) -> None:
    """Make a dead letter count as a new message once it is requeued."""
    raw.get("headers", {}).pop("redelivered", None)
    raw.get("properties", {}).get("delivery_info", {}).pop("redelivered", None)


def _is_redelivered(message: Message) -> bool:
    return bool((message.headers or {}).get("redelivered") or (message.delivery_info or {}).get("redelivered"))
