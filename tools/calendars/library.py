"""What exchange_calendars says of each exchange's sessions."""

import re
import warnings
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import exchange_calendars

from tools.calendars.rows import Row, row

FIRST: Final = date(2026, 2, 1)  # the library's January of XTAE contradicts itself
LAST: Final = date(2031, 12, 31)
EXCHANGE: Final = re.compile(r"[A-Z]{4}")  # a market identifier code; the others stand for no exchange


def names() -> list[str]:
    """Return the market identifier codes of the library's exchanges."""
    return sorted(filter(EXCHANGE.fullmatch, exchange_calendars.get_calendar_names(include_aliases=False)))


def rows() -> dict[str, Row]:
    """Return the rows of all exchanges whose sessions the library knows from FIRST on."""
    found = {name: _longest(name) for name in names()}
    return {name: known for name, known in found.items() if known is not None}


def sessions(name: str, last: date) -> tuple[ZoneInfo, Mapping[date, tuple[datetime, datetime]]]:
    """Return an exchange's time zone, and opening and close of every session from FIRST to `last`.

    Raises:
        ValueError: the library does not know so many.
        NotImplementedError: it has an exchange's name, and not yet its hours.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar(name, start=FIRST.isoformat(), end=last.isoformat())
    times = zip(calendar.opens.items(), calendar.closes, strict=True)
    found = {day.date(): (opens.to_pydatetime(), closes.to_pydatetime()) for (day, opens), closes in times}
    return ZoneInfo(str(calendar.tz)), found


def _longest(name: str) -> Row | None:
    """Return an exchange's row to the last year that the library knows; None where it knows none."""
    for year in range(LAST.year, FIRST.year - 1, -1):
        last = LAST.replace(year=year)
        try:
            return row(*sessions(name, last), FIRST, last)
        except (ValueError, NotImplementedError):
            continue
    return None
