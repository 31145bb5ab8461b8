"""How often a message was handed out without a result, and where it goes when that happens for ever.

A task that kills its worker comes back each time, and would keep the queue busy until somebody looks. So a message
may be *started* `limit` times; when it is handed out once more, it goes to the list `dead:<queue>`, its result
becomes a failure, and the queue goes on.

Semantics, exactly. `deliveries:<queue>:<delivery tag>` counts starts of a message that Redis marks as redelivered;
the first start costs nothing and is implied, so a message has had 1 + counter starts. The tag is the message's, not
the task's: `task.retry()` sends a new message, which begins anew. Starts that ended for a good reason (the worker
shut down, its connection dropped, the task asked to be put back) are taken back, so a rollout never brings a healthy
task nearer to its end. The counter lives KEPT seconds past its last change.

A message on a `dead:` list is the message itself, with `headers.dead` saying when, where and why; one LMOVE puts it
back, to be tried as often as a new one:  LMOVE dead:<queue> <queue> RIGHT LEFT
"""

import json
import logging
import time
from typing import Any

from alphaswarm_runtime.broker import RedisConnection
from alphaswarm_runtime.type_aliases import Message, Pipeline
from alphaswarm_runtime.worker_profile import WorkerProfile

logger = logging.getLogger("alphaswarm_runtime.deliveries")

KEPT = 7 * 24 * 3600  # a week: a returned message waits behind the whole queue


class Deliveries:
    """The ledger of one process' messages."""

    def __init__(self, redis: RedisConnection, profile: WorkerProfile, limit: int) -> None:
        self._redis = redis
        self._profile = profile
        self._limit = limit

    def started(self, queue: str, message: Message) -> None:
        """The message's task is about to be run."""
        if _is_redelivered(message):
            self._add(queue, message.delivery_tag, 1)

    def forgive(self, queue: str, message: Message) -> None:
        """The start just counted ended without the task's fault."""
        self._add(queue, message.delivery_tag, -1)

    def starts(self, queue: str, message: Message) -> int:
        """How often the message's task was started and neither ended nor was forgiven."""
        if not _is_redelivered(message):
            return 0
        with self._redis.client() as client:
            return 1 + int(client.get(_counter(queue, message.delivery_tag)) or 0)

    def is_exhausted(self, queue: str, message: Message) -> bool:
        """Whether the message must not be started again."""
        return self.starts(queue, message) >= self._limit

    def bury(self, queue: str, message: Message, where: str) -> str:
        """Move the message to the queue's list of dead ones, at once or not at all. Returns the reason."""
        tag = message.delivery_tag
        reason = f"started {self._limit} times and never ended: it kills its worker, or outlives it"
        with self._redis.client() as client:
            kept = client.hget(self._profile.unacked_key, tag)
            if kept is not None:
                raw = json.loads(kept)[0]
                _forget_redelivery(raw)
                raw.setdefault("headers", {})["dead"] = {"at": time.time(), "on": where, "queue": queue, "why": reason}
                pipe = client.pipeline(transaction=True)
                pipe.lpush(f"dead:{queue}", json.dumps(raw))
                self._forget(pipe, tag)
                pipe.delete(_counter(queue, tag))
                pipe.execute()
        headers = message.headers or {}
        logger.error("task %s[%s] moved to dead:%s: %s", headers.get("task"), headers.get("id"), queue, reason)
        return reason

    def settle(self, message: Message) -> None:
        """Acknowledge a message whose own channel is gone."""
        with self._redis.client() as client:
            pipe = client.pipeline(transaction=True)
            self._forget(pipe, message.delivery_tag)
            pipe.execute()

    def _forget(self, pipe: Pipeline, tag: str) -> None:
        pipe.hdel(self._profile.unacked_key, tag)
        pipe.zrem(self._profile.unacked_index_key, tag)
        pipe.hdel(self._profile.owners_key, tag)

    def _add(self, queue: str, tag: str, amount: int) -> None:
        with self._redis.client() as client:
            pipe = client.pipeline(transaction=True)
            pipe.incrby(_counter(queue, tag), amount)
            pipe.expire(_counter(queue, tag), KEPT)
            pipe.execute()


def _counter(queue: str, tag: str) -> str:
    return f"deliveries:{queue}:{tag}"


def _forget_redelivery(raw: dict[str, Any]) -> None:
    """Who puts a dead message back wants it to be tried as often as a new one."""
    raw.get("headers", {}).pop("redelivered", None)
    raw.get("properties", {}).get("delivery_info", {}).pop("redelivered", None)


def _is_redelivered(message: Message) -> bool:
    return bool((message.headers or {}).get("redelivered") or (message.delivery_info or {}).get("redelivered"))
