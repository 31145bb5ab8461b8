"""What beat must know of how a stack scales its queues: sessions that ask for pods, and promised waits.

    ALPHASWARM_SCALING={"<queue>": {"target_wait": seconds, or null,
                                    "sessions": {"name", "calendar", "min_replicas", "before", "after"}, or null}}

`calendar` is a row as exchange_calendar.py has it; `before` and `after` are seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings.exchange_calendar import ExchangeCalendar, parse_calendar

VARIABLE = "ALPHASWARM_SCALING"


@dataclass(frozen=True)
class SessionFloor:
    """How many pods a queue has at least while an exchange has a session."""

    name: str
    calendar: ExchangeCalendar
    min_replicas: int
    before: timedelta
    after: timedelta


@dataclass(frozen=True)
class QueueScaling:
    """What a stack says of one queue."""

    target_wait: int | None = None  # seconds
    sessions: SessionFloor | None = None


def parse_queue_scaling(text: str | None) -> dict[str, QueueScaling]:
    """Parse the variable's text.

    Raises:
        ConfigurationError: it is not of the form above.
    """
    if not text:
        return {}
    try:
        return {str(queue): _queue_scaling(given) for queue, given in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{VARIABLE} cannot be read: {type(error).__name__}: {error}") from None


def _queue_scaling(given: Mapping[str, Any]) -> QueueScaling:
    sessions = given["sessions"]
    return QueueScaling(given["target_wait"], sessions and _session_floor(sessions))


def _session_floor(given: Mapping[str, Any]) -> SessionFloor:
    return SessionFloor(
        name=given["name"],
        calendar=parse_calendar(given["calendar"]),
        min_replicas=int(given["min_replicas"]),
        before=timedelta(seconds=given["before"]),
        after=timedelta(seconds=given["after"]),
    )
