"""A session of an exchange asks the scaler for pods: over a whole year, and whoever dies meanwhile."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.scheduler.session_floors import SessionFloors
from alphaswarm_runtime.settings.queue_scaling import parse_queue_scaling
from alphaswarm_runtime.transport import keys
from exchange_calendars import get_calendar

from config.calendars import calendar_rows
from queues import QUEUES
from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis

ALWAYS = {**calendar_rows()["XNYS"], "timezone": "UTC", "weekdays": [1, 2, 3, 4, 5, 6, 7], "hours": "00:00-00:00",
          "holidays": {}, "special": {}}  # fmt: skip
MINUTE = timedelta(minutes=1)


def scaling(queue: str = "paper", **changes: Any) -> str:  # noqa: ANN401 any part of a session
    sessions = {"name": "XNYS", "calendar": calendar_rows()["XNYS"], "min_replicas": 4, "before": 900, "after": 0}
    return json.dumps({queue: {"target_wait": None, "sessions": {**sessions, **changes}}})


def floors(text: str) -> SessionFloors:
    found = {queue: one.sessions for queue, one in parse_queue_scaling(text).items() if one.sessions}
    return SessionFloors(found, Metrics())


@pytest.mark.filterwarnings("ignore")  # pandas' own
def test_over_a_year_there_are_pods_in_every_session_and_never_beside(client: Redis) -> None:
    beat, key = floors(scaling()), keys.floor("paper")
    year = get_calendar("XNYS", start="2027-01-01", end="2027-12-31").schedule
    warm = [(row.open.to_pydatetime() - 15 * MINUTE, row.close.to_pydatetime()) for row in year.itertuples()]
    edges = sorted(edge + step for pair in warm for edge in pair for step in (-MINUTE, timedelta(0), MINUTE))
    noons = [datetime(2027, 1, 1, 12, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    for now in sorted([*edges, *noons]):
        beat.update(client, now)
        expected = 4 if any(start <= now < end for start, end in warm) else 0
        assert client.llen(key) == expected, now
    assert len(warm) == 251


def test_a_floor_ends_with_its_session_though_beat_has_died(client: Redis) -> None:
    close = datetime(2027, 3, 12, 21, 0, tzinfo=UTC)
    floors(scaling(after=60)).update(client, close + timedelta(seconds=58))
    assert client.llen(keys.floor("paper")) == 4
    assert 0 < client.pttl(keys.floor("paper")) <= 2000
    until(lambda: client.llen(keys.floor("paper")) == 0, "the session is over")


def test_another_number_takes_the_place_of_the_old_one(client: Redis) -> None:
    noon = datetime(2027, 3, 12, 17, 0, tzinfo=UTC)
    for replicas in (4, 6, 1):
        floors(scaling(min_replicas=replicas)).update(client, noon)
        assert client.llen(keys.floor("paper")) == replicas


def test_beat_keeps_the_floor_by_the_servers_clock_and_says_so(fleet: Fleet) -> None:
    beat = fleet.start("beat", ALPHASWARM_SCALING=scaling(calendar=ALWAYS, min_replicas=3)).wait_ready()
    with fleet.server.client() as client:
        until(lambda: client.llen(keys.floor("paper")) == 3, "the floor is there")
        assert client.pttl(keys.floor("paper")) <= 24 * 3600 * 1000
        client.flushdb()
        until(lambda: client.llen(keys.floor("paper")) == 3, "it is there again after the data were lost")
    assert "a session of XNYS: paper has 3 pods at least until" in beat.output
    assert "nobody reads" not in beat.output


def test_a_stack_without_sessions_writes_no_key(fleet: Fleet) -> None:
    fleet.start("beat").wait_ready()
    with fleet.server.client() as client:
        until(lambda: client.llen("default") >= 2, "beat has ticked")
        assert not client.keys("floor:*")
        assert not client.keys("share:*")


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"paper": {}}', scaling(before="soon"), scaling(calendar={"timezone": "Mars/Olympus"})]
)
def test_a_variable_that_cannot_be_read_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ALPHASWARM_SCALING cannot be read") as caught:
        parse_queue_scaling(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 78


def test_the_scaler_reads_what_beat_writes() -> None:
    for queue in QUEUES.queues:
        assert queue.floor_key == keys.floor(queue.name)
        assert queue.share_key == keys.share(queue.name)
