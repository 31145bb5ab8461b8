"""How long a message must wait before its task may start: its ETA (a countdown and a retry set one), or a rate limit.

Celery would hold such a message in the memory of one worker, where it counts as running, dies with the pod, and falls
to the visibility timeout. Here it is parked in Redis (Ledger.park), and comes back to whoever is free when it is due.
"""

import time
from datetime import UTC, datetime
from typing import Any

from celery.utils.time import maybe_iso8601, maybe_make_aware

from alphaswarm_runtime.transport.ledger import Hold
from alphaswarm_runtime.type_aliases import App, Message

RATE_HORIZON = 60.0  # seconds: what one worker may not start, another may, so no message waits longer for its turn


class RateLimits:
    """When a message's task may take a token of the worker's buckets, one after the other."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # by task: the last turn that was given, CLOCK_MONOTONIC

    def hold(self, task: str, bucket: Any) -> Hold | None:  # noqa: ANN401 kombu.utils.limits.TokenBucket
        """Return how long a message of the task must wait; None when it may take a token now."""
        expected = bucket.expected_time(1)
        if not expected:
            return None
        now = time.monotonic()
        turn = max(now + expected, self._last.get(task, 0.0) + 1 / bucket.fill_rate)
        if turn - now > RATE_HORIZON:
            return Hold(RATE_HORIZON, from_now=True)
        self._last[task] = turn
        return Hold(turn - now, from_now=True)


def eta_hold(message: Message, app: App) -> Hold | None:
    """Return the message's ETA; None when it has none, or one that cannot be read: Celery says so itself."""
    fields = _task_fields(message)
    try:
        eta = maybe_iso8601(fields.get("eta"))
        return None if eta is None else Hold(maybe_make_aware(eta, app.timezone).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def set_due(message: Message) -> None:
    """Make a message due by this machine's clock, which may be behind the server's."""
    fields = _task_fields(message)
    eta = maybe_iso8601(fields["eta"])
    now = datetime.now(UTC)
    if eta is not None and eta.tzinfo is not None and eta > now:
        fields["eta"] = now.isoformat()


def _task_fields(message: Message) -> dict[str, Any]:
    """Return what has the task's fields: the headers, or in protocol 1 the body."""
    headers = message.headers
    if isinstance(headers, dict) and "task" in headers:
        return headers
    try:
        body = message.decode()
    except Exception:  # noqa: BLE001  Celery decodes it again, and says why it cannot
        return {}
    return body if isinstance(body, dict) else {}
