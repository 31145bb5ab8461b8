"""The scheduler: one at a time, probed like a worker, its schedule in the writable folder."""

import base64
import json
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alphaswarm_runtime.transport import keys
from celery.schedules import solar

from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis


def test_beat_sends_on_time_keeps_its_schedule_in_the_writable_folder_and_ends_at_sigterm(fleet: Fleet) -> None:
    beat = fleet.start("beat").wait_ready()
    with fleet.server.client() as client:
        until(lambda: client.llen("default") >= 2, "two tasks were sent")
    assert beat.probe_succeeds("live")
    state = Path(beat.environ["ALPHASWARM_STATE_DIR"])
    assert list(state.glob("celerybeat-schedule*"))
    assert not list(fleet.folder.glob("celerybeat*"))
    beat.terminate()
    assert beat.wait() == 0


def test_of_two_schedulers_one_sends_and_the_other_takes_over(fleet: Fleet) -> None:
    first = fleet.start("beat").wait_ready()
    second = fleet.start("beat")
    until(lambda: "another scheduler" in second.probe("ready")[1], "the second waits")
    assert second.probe_succeeds("live")
    with fleet.server.client() as client:
        before, began = client.llen("default"), time.monotonic()
        time.sleep(3)
        sent, took = client.llen("default") - before, time.monotonic() - began
    print(f"schedule 1/s, two schedulers: {sent} tasks in {took:.1f} s")
    assert sent <= took + 1, "both send"
    first.terminate()
    assert first.wait() == 0
    until(lambda: second.probe_succeeds("ready"), "the second takes over")


def test_the_scheduler_returns_what_is_due_where_no_worker_is_left_to(fleet: Fleet) -> None:
    worker = fleet.worker("workflows")
    fleet.send("note", "later", queue="workflows", countdown=4)
    with fleet.server.client() as client:
        until(lambda: client.zcard(keys.parked("workflows")) == 1, "it is parked")
        worker.terminate()
        assert worker.wait() == 0
        fleet.start("beat").wait_ready()
        until(lambda: client.llen("workflows") == 1, "the scaler sees what is due")
        assert client.zcard(keys.parked("workflows")) == 0


def test_the_scheduler_says_which_lists_nobody_reads(fleet: Fleet) -> None:
    fleet.send("note", "lost", queue="celery")
    fleet.send("note", "lost", queue="retired", priority=5)
    beat = fleet.start("beat").wait_ready()
    until(lambda: "nobody reads queue 'celery', in which 1 messages wait" in beat.output, "it says so")
    assert "nobody reads queue 'retired', in which 1 messages wait" in beat.output


SLOW = {"CELERY_APP": "slow"}  # one entry, every 8 s


def sent(client: Redis) -> int:
    return int(client.llen("default"))


def bodies(message: str) -> str:
    return base64.b64decode(json.loads(message)["body"]).decode()


@pytest.mark.parametrize("scheduler", ["celery.beat:PersistentScheduler", "celery.beat:Scheduler", "slow:OwnScheduler"])
def test_a_new_pod_goes_on_where_the_old_one_was(fleet: Fleet, scheduler: str) -> None:
    own = {**SLOW, "SLOW_SCHEDULER": scheduler}
    first = fleet.start("beat", **own).wait_ready()
    time.sleep(4)
    first.terminate()
    assert first.wait() == 0
    fleet.start("beat", **own).wait_ready()
    ready = time.monotonic()
    with fleet.server.client() as client:
        until(lambda: sent(client) == 1, "it is sent")
    took = time.monotonic() - ready
    print(f"an interval of 8 s, a new pod after 4 s: sent {took:.1f} s after that was ready")
    assert took < 7, "the interval begins anew with each deployment"


def test_a_standby_that_takes_over_sends_nothing_again(fleet: Fleet) -> None:
    first = fleet.start("beat", **SLOW).wait_ready()
    standby = fleet.start("beat", **SLOW)
    until(lambda: "another scheduler" in standby.probe("ready")[1], "the second waits")
    with fleet.server.client() as client:
        until(lambda: sent(client) == 1, "the first sends")
        time.sleep(2)
        first.terminate()
        first.wait()
        until(lambda: standby.probe_succeeds("ready"), "the second takes over")
        time.sleep(2)
        assert sent(client) == 1


@pytest.mark.parametrize(("catch_up", "expected"), [("3600", 1), ("3", 0)])
def test_what_fell_due_while_no_scheduler_ran_is_sent_once_unless_it_is_too_late(
    fleet: Fleet, catch_up: str, expected: int
) -> None:
    fleet.start("beat", **SLOW).wait_ready().terminate()
    with fleet.server.client() as client:
        until(lambda: client.hlen("beat:last_runs") == 1, "its first time is kept")
        client.hset("beat:last_runs", "slow", time.time() - 28)
        fleet.start("beat", ALPHASWARM_BEAT_CATCH_UP=catch_up, **SLOW).wait_ready()
        time.sleep(3)
        assert sent(client) == expected


def test_the_scheduler_needs_no_queue_that_it_does_not_send_to(fleet: Fleet, client: Redis) -> None:
    (fleet.folder / "few_queues.py").write_text(
        "from kombu import Queue\nfrom sample import app\n"
        "app.conf.update(task_queues=[Queue('default')], task_create_missing_queues=False)\n"
    )
    fleet.start("beat", CELERY_APP="few_queues").wait_ready()
    until(lambda: sent(client) > 0, "it sends")
    assert fleet.run("queues", CELERY_APP="few_queues").returncode == 0


def test_what_the_broker_does_not_take_is_sent_once_it_does(fleet: Fleet, client: Redis) -> None:
    client.hset("beat:last_runs", "slow", time.time() - 20)
    client.execute_command("ACL", "SETUSER", "default", "-lpush")
    beat = fleet.start("beat", **SLOW)
    until(lambda: "did not take slow" in beat.output, "it was due, and refused")
    assert sent(client) == 0
    client.execute_command("ACL", "SETUSER", "default", "+lpush")
    until(lambda: sent(client) == 1, "it is sent", within=6)
    time.sleep(3)
    assert sent(client) == 1, "it was sent again"


def test_a_time_in_the_future_delays_an_entry_by_no_more_than_its_interval(fleet: Fleet, client: Redis) -> None:
    client.hset("beat:last_runs", "slow", time.time() + 3600)  # the node of the scheduler before had another clock
    fleet.start("beat", **SLOW).wait_ready()
    until(lambda: sent(client) == 1, "it is sent", within=20)


@pytest.mark.parametrize("way", ["cannot-estimate", "raises"])
def test_a_schedule_of_the_applications_own_keeps_no_other_entry_from_being_sent(
    fleet: Fleet, client: Redis, way: str
) -> None:
    fleet.start("beat", CELERY_APP="schedules", SCHEDULES_WAY=way).wait_ready()
    until(lambda: sum("usual" in bodies(message) for message in client.lrange("default", 0, -1)) > 1, "the other is")
    own = sum("own" in bodies(message) for message in client.lrange("default", 0, -1))
    assert bool(own) is (way == "cannot-estimate")


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_while_all_errors_are_caught_ends_it_all_the_same(fleet: Fleet, signal_name: str) -> None:
    beat = fleet.start("beat", CELERY_APP="schedules", SCHEDULES_WAY="catches-all")
    until(lambda: "beat: Starting" in beat.output, "it starts")
    time.sleep(1)
    beat.popen.send_signal(signal.Signals[signal_name])
    assert beat.wait(within=15) == 0


@pytest.mark.parametrize(("hours", "expected"), [(2, 1), (0, 0)])
def test_a_crontab_that_was_missed_is_sent_once(fleet: Fleet, hours: int, expected: int) -> None:
    far = (datetime.now(UTC).minute + 30) % 60  # not while the test runs
    with fleet.server.client() as client:
        client.hset("beat:last_runs", "slow", time.time() - hours * 3600)
        fleet.start("beat", SLOW_CRONTAB=str(far), **SLOW).wait_ready()
        time.sleep(3)
        assert sent(client) == expected


@pytest.mark.parametrize(("hours", "expected"), [(20, 1), (0, 0)])
def test_a_solar_event_that_was_missed_is_sent_once(fleet: Fleet, hours: int, expected: int) -> None:
    event = _distant_event()
    with fleet.server.client() as client:
        client.hset("beat:last_runs", "slow", time.time() - hours * 3600)
        fleet.start("beat", SLOW_SOLAR=event, **SLOW).wait_ready()
        time.sleep(3)
        assert sent(client) == expected


def _distant_event() -> str:
    """An event of the sun that was within the last 20 hours, and is not about to be again."""
    now = datetime.now(UTC)
    for event in ("sunrise", "solar_noon", "sunset"):
        ahead = solar(event, 50.1, 8.7, nowfun=lambda: now).remaining_estimate(now)
        if timedelta(hours=5) < ahead < timedelta(hours=23):
            return event
    raise AssertionError("three events are hours apart, so one of them is")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "schedule.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("create table entries (name text, every real, last_run_at real)")
        connection.execute("create table edits (at real)")
        connection.execute("insert into entries values ('often', 4, ?)", (time.time(),))
        connection.commit()
    return file


def test_a_scheduler_with_a_database_that_takes_over_sends_nothing_again(fleet: Fleet, database: Path) -> None:
    own = {"CELERY_APP": "database", "SAMPLE_DATABASE": str(database)}
    first = fleet.start("beat", **own).wait_ready()
    standby = fleet.start("beat", **own)
    until(lambda: "another scheduler" in standby.probe("ready")[1], "the second waits")
    with fleet.server.client() as client:
        until(lambda: sent(client) == 2, "the first sends twice")
        first.terminate()
        first.wait()
        until(lambda: standby.probe_succeeds("ready"), "the second takes over")
        time.sleep(2)
        assert sent(client) == 2
        until(lambda: sent(client) == 3, "the second sends in its turn")


def test_a_schedule_that_is_edited_while_it_runs_is_followed(fleet: Fleet, database: Path) -> None:
    fleet.start("beat", CELERY_APP="database", SAMPLE_DATABASE=str(database)).wait_ready()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("insert into entries values ('new', 1000, 0)")
        connection.execute("insert into edits values (1)")
        connection.commit()
    with fleet.server.client() as client:
        until(lambda: any('"new"' in text for text in map(bodies, client.lrange("default", 0, -1))), "it is sent", 10)


def test_a_scheduler_with_a_database_whose_lease_another_had_begins_anew(fleet: Fleet, database: Path) -> None:
    own = {"CELERY_APP": "database", "SAMPLE_DATABASE": str(database)}
    first = fleet.start("beat", **own).wait_ready()
    with fleet.server.client() as client:
        client.set("beat:lease", "another", px=3000)
        assert first.wait() == 75
    assert "begins anew" in first.output


def test_a_scheduler_without_broker_is_alive_and_not_ready(fleet: Fleet) -> None:
    beat = fleet.start("beat").wait_ready()
    fleet.server.stop()
    until(lambda: not beat.probe_succeeds("ready"), "it is not ready")
    time.sleep(5)
    assert beat.probe_succeeds("live"), beat.output
    fleet.server.start()
    until(lambda: beat.probe_succeeds("ready"), "it recovers")


def test_the_executor_image_runs_no_scheduler(fleet: Fleet) -> None:
    refused = fleet.run("beat", ALPHASWARM_IMAGE="executor")
    assert refused.returncode == 78
    assert "beat runs from image 'worker'" in refused.stderr
