"""When a session is open: holidays, half days, daylight saving, sessions that begin the day before."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calendars import calendar_rows, exchange_calendar
from config.exchange_calendar import ExchangeCalendar, parse_calendar

NEW_YORK = exchange_calendar("XNYS")
FUTURES = exchange_calendar("CMES")
HOUR = timedelta(hours=1)
SAMPLE = ("XNYS", "XLON", "XTKS", "CMES", "XSAU", "XSGO")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2027-03-12T14:29:59", False),  # the last Friday of winter time
        ("2027-03-12T14:30", True),
        ("2027-03-12T20:59:59", True),
        ("2027-03-12T21:00", False),
        ("2027-03-15T13:30", True),  # the first Monday of summer time
        ("2027-03-15T20:00", False),
        ("2027-03-13T15:00", False),  # a Saturday
        ("2027-07-05T15:00", False),  # a holiday, whose fourth of July is a Sunday
        ("2027-11-26T17:59", True),  # a half day
        ("2027-11-26T18:00", False),
    ],
)
def test_new_york_is_open_when_its_hours_say_so(moment: str, is_open: bool) -> None:
    assert (NEW_YORK.session_at(utc(moment)) is not None) is is_open


def test_a_session_may_begin_the_day_before() -> None:
    sunday_evening = utc("2027-02-07T23:30")
    session = FUTURES.session_at(sunday_evening)
    assert session is not None
    assert session.opens == utc("2027-02-07T23:00")
    assert session.closes == utc("2027-02-08T23:00")
    assert FUTURES.session_at(utc("2027-02-07T22:59")) is None


def test_margins_belong_to_a_session() -> None:
    opening, close = utc("2027-03-12T14:30"), utc("2027-03-12T21:00")
    for moment, found in (
        (opening - HOUR, True),
        (opening - HOUR - timedelta(seconds=1), False),
        (close + HOUR - timedelta(seconds=1), True),
        (close + HOUR, False),
    ):
        session = NEW_YORK.session_at(moment, before=HOUR, after=HOUR)
        assert (session is not None) is found
        assert session is None or (session.opens, session.closes) == (opening, close)


def test_after_the_last_known_day_every_usual_weekday_has_a_session() -> None:
    row = {**calendar_rows()["XNYS"], "until": "2027-01-31", "holidays": {}, "special": {}}
    christmas = date(2027, 12, 24)
    assert NEW_YORK.session_of(christmas) is None
    assert parse_calendar(row).session_of(christmas) is not None


moments = st.datetimes(datetime(2026, 1, 2), datetime(2031, 12, 30), timezones=st.just(UTC))
margins = st.integers(0, 12 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(moments, margins, margins, st.sampled_from(SAMPLE))
def test_a_moment_is_in_a_session_exactly_if_one_of_its_neighbours_holds_it(
    moment: datetime, before: timedelta, after: timedelta, name: str
) -> None:
    calendar = exchange_calendar(name)
    holding = [one for one in around(calendar, moment) if one[0] - before <= moment < one[1] + after]
    found = calendar.session_at(moment, before, after)
    assert (found is not None) is bool(holding)
    assert found is None or (found.opens, found.closes) in holding


def around(calendar: ExchangeCalendar, moment: datetime) -> list[tuple[datetime, datetime]]:
    days = (moment.date() + timedelta(days=number) for number in range(-4, 5))
    return [(one.opens, one.closes) for one in map(calendar.session_of, days) if one is not None]


@pytest.mark.parametrize("lost", ["timezone", "weekdays", "hours", "until", "holidays", "special"])
def test_a_row_without_a_part_is_refused(lost: str) -> None:
    row = {key: value for key, value in calendar_rows()["XNYS"].items() if key != lost}
    with pytest.raises(KeyError, match=lost):
        parse_calendar(row)
