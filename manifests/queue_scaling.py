"""What beat is told of how the stack scales its queues; the images' runtime reads it (settings/queue_scaling.py)."""

import json
from datetime import timedelta
from typing import Any

from config.calendars import calendar_rows
from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests import Manifest
from manifests.containers import env_var
from queues import Queue, Sessions


def scaling_environment(settings: Settings) -> list[Manifest]:
    """Return the variable for the queues with sessions or a promised wait; none where no queue has them."""
    if settings.layout == "per-image":  # no scaler there reads what beat would write
        return []
    queues = {queue.name: _queue(queue) for queue in tuned_catalogue(settings).queues}
    told = {name: given for name, given in queues.items() if any(given.values())}
    return [env_var("ALPHASWARM_SCALING", json.dumps(told, separators=(",", ":")))] if told else []


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "target_wait": queue.target_wait and _seconds(queue.target_wait),
        "sessions": queue.sessions and _sessions(queue.sessions),
    }


def _sessions(sessions: Sessions) -> dict[str, Any]:
    return {
        "name": sessions.calendar,
        "calendar": calendar_rows()[sessions.calendar],
        "min_replicas": sessions.min_replicas,
        "before": _seconds(sessions.before),
        "after": _seconds(sessions.after),
    }


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
