"""The exchanges' calendars as plain data say what the library says, of every session of every exchange."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from exchange_calendars import get_calendar

from config.calendars import calendar_rows, exchange_calendar
from tools.calendars import library

DAY = timedelta(days=1)


def expected_sessions(name: str, until: date) -> dict[date, tuple[datetime, datetime]]:
    found = get_calendar(name, start=library.FIRST.isoformat(), end=until.isoformat()).schedule
    return {row.Index.date(): (row.open.to_pydatetime(), row.close.to_pydatetime()) for row in found.itertuples()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", calendar_rows())
def test_every_session_of_an_exchange_is_as_the_library_has_it(name: str) -> None:
    calendar, day = exchange_calendar(name), library.FIRST
    found = {}
    while day <= calendar.until:
        if (session := calendar.session_of(day)) is not None:
            found[day] = (session.opens, session.closes)
        day += DAY
    assert found == expected_sessions(name, calendar.until)


def test_every_exchange_whose_hours_the_library_knows_has_a_row() -> None:
    without = set(library.names()) - set(calendar_rows())
    assert without <= {"ASEX", "XBEL", "XBSE", "XCYS"}, "an exchange is lost"
    assert all(exchange_calendar(name).until.year >= library.FIRST.year for name in calendar_rows())


def test_a_session_is_usual_or_special_and_never_both() -> None:
    for name, row in calendar_rows().items():
        special = [hours for days in row["special"].values() for hours in days.values()]
        off_days = [day for year, days in row["special"].items() for day in days if not is_weekday(row, year, day)]
        assert row["hours"] not in special or off_days, f"{name}: a usual day is written as a special one"


def is_weekday(row: Mapping[str, Any], year: str, day: str) -> bool:
    return date.fromisoformat(f"{year}-{day}").isoweekday() in row["weekdays"]


def test_no_time_depends_on_where_it_is_read() -> None:
    session = exchange_calendar("XTKS").session_of(date(2027, 3, 1))
    assert session is not None
    assert session.opens == datetime(2027, 3, 1, 0, 0, tzinfo=UTC)
