# Generated from config/exchange_calendar.py by `make surfaces`; do not edit.
"""When an exchange has a session: its usual hours, holidays, half days, and daylight saving of its time zone.

A calendar is plain data, a row of exchange_calendars.json, which `make calendars` writes from the library of that name.
So neither the program nor a pod needs the library, which brings pandas. The images' runtime has a copy of this module,
and gets the rows of the calendars that its stack names. A break at noon is a part of its session.

    {"timezone", "weekdays": [1, ...] (Monday is 1), "hours": "09:30-16:00", "until": "2030-12-31",
     "holidays": {"2026": "01-01 ..."}, "special": {"2026": {"11-27": "09:30-13:00"}}}

Hours are local times; a session whose opening is not before its close began the day before. After `until` no holiday
is known, and every usual weekday has a session.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

Hours: TypeAlias = tuple[time, time]
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Session:
    """One session. Both times are in UTC."""

    opens: datetime
    closes: datetime


@dataclass(frozen=True)
class ExchangeCalendar:
    """The sessions of one exchange."""

    zone: ZoneInfo
    weekdays: frozenset[int]
    hours: Hours
    until: date  # the last day whose holidays are known
    holidays: frozenset[date]
    special: Mapping[date, Hours]

    def session_of(self, day: date) -> Session | None:
        """Return the session of a day; None where it has none."""
        hours = self.special.get(day)
        if hours is None and (day.isoweekday() not in self.weekdays or day in self.holidays):
            return None
        opens, closes = hours or self.hours
        return Session(self._utc(day - DAY if opens >= closes else day, opens), self._utc(day, closes))

    def session_at(
        self, moment: datetime, before: timedelta = timedelta(0), after: timedelta = timedelta(0)
    ) -> Session | None:
        """Return the session that is open at a moment.

        Args:
            moment: with a time zone.
            before: how long before it opens a session counts as open, a day at most.
            after: how long after it closes, likewise.
        """
        return next((one for one in self._near(moment) if one.opens - before <= moment < one.closes + after), None)

    def _near(self, moment: datetime) -> Iterator[Session]:
        today = moment.astimezone(self.zone).date()
        days = (today + number * DAY for number in (-1, 0, 1, 2))
        return filter(None, map(self.session_of, days))

    def _utc(self, day: date, local: time) -> datetime:
        return datetime.combine(day, local, self.zone).astimezone(UTC)


def parse_calendar(row: Mapping[str, Any]) -> ExchangeCalendar:
    """Parse a row of exchange_calendars.json.

    Raises:
        KeyError: the row lacks a part.
        ValueError: a part is not of its form, or the time zone is not known.
    """
    holidays = (f"{year}-{day}" for year, days in row["holidays"].items() for day in days.split())
    special = {f"{year}-{day}": hours for year, days in row["special"].items() for day, hours in days.items()}
    return ExchangeCalendar(
        zone=ZoneInfo(row["timezone"]),
        weekdays=frozenset(row["weekdays"]),
        hours=_hours(row["hours"]),
        until=date.fromisoformat(row["until"]),
        holidays=frozenset(map(date.fromisoformat, holidays)),
        special={date.fromisoformat(day): _hours(hours) for day, hours in special.items()},
    )


def _hours(text: str) -> Hours:
    opens, closes = map(time.fromisoformat, text.split("-"))
    return opens, closes
