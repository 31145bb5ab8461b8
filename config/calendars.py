"""The exchanges' calendars that a stack may name, by market identifier code."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from config.exchange_calendar import ExchangeCalendar, parse_calendar

FILE: Final = Path(__file__).with_name("exchange_calendars.json")


@cache
def calendar_rows() -> Mapping[str, Mapping[str, Any]]:
    """Return the row of every exchange."""
    rows: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text())
    return rows


@cache
def exchange_calendar(name: str) -> ExchangeCalendar:
    """Return the calendar of an exchange.

    Raises:
        KeyError: there is none of that name.
    """
    return parse_calendar(calendar_rows()[name])
