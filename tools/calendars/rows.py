"""An exchange's sessions as a row of plain data: what is usual, and each day that is not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

Row: TypeAlias = dict[str, Any]
DAY = timedelta(days=1)


def row(zone: ZoneInfo, sessions: Mapping[date, tuple[datetime, datetime]], first: date, until: date) -> Row:
    """Return the row of an exchange in a time zone.

    Args:
        zone: the exchange's.
        sessions: opening and close of every session, by its day.
        first: the first day that is known.
        until: the last one.
    """
    hours = {day: _hours(zone, *times) for day, times in sessions.items()}
    usual = Counter(hours.values()).most_common(1)[0][0]
    weekdays = _usual_weekdays(sessions)
    every = [first + number * DAY for number in range((until - first).days + 1)]
    holidays = [day for day in every if day.isoweekday() in weekdays and day not in sessions]
    special = {day: text for day, text in hours.items() if text != usual or day.isoweekday() not in weekdays}
    return {
        "timezone": zone.key,
        "weekdays": sorted(weekdays),
        "hours": usual,
        "until": until.isoformat(),
        "holidays": {year: " ".join(map(_month_and_day, days)) for year, days in _by_year(holidays)},
        "special": {year: {_month_and_day(day): special[day] for day in days} for year, days in _by_year(special)},
    }


def _hours(zone: ZoneInfo, opens: datetime, closes: datetime) -> str:
    return "-".join(f"{moment.astimezone(zone):%H:%M}" for moment in (opens, closes))


def _usual_weekdays(days: Iterable[date]) -> set[int]:
    """Return the weekdays, Monday being 1, with at least half as many sessions as the one with the most."""
    counts = Counter(day.isoweekday() for day in days)
    return {weekday for weekday, count in counts.items() if 2 * count >= max(counts.values())}


def _by_year(days: Iterable[date]) -> list[tuple[str, list[date]]]:
    return [(str(year), list(group)) for year, group in groupby(sorted(days), key=lambda day: day.year)]


def _month_and_day(day: date) -> str:
    return f"{day:%m-%d}"
