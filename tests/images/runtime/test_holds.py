"""A task that must not start yet costs nothing until it is due, and then starts once, whoever is alive."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.ledger import Counts, count_messages

from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis


def counts(client: Redis) -> Counts:
    return count_messages(client, "default")


def notes(fleet: Fleet) -> list[tuple[str, float]]:
    """What each task that ran was told, and when it ran."""
    return [(what, float(at)) for what, at in (line.split() for line in fleet.server.journal())]


@pytest.fixture
def parked(fleet: Fleet) -> Callable[[int], None]:
    def wait(tasks: int) -> None:
        with fleet.server.client() as client:
            until(lambda: counts(client) == Counts(0, 0, tasks, 0), f"{tasks} tasks are parked")

    return wait


def test_tasks_for_later_neither_run_nor_fill_a_worker(fleet: Fleet, parked: Callable[[int], None]) -> None:
    worker = fleet.worker(concurrency="2")
    send = fleet.sender()
    for _ in range(100):
        send("note", "later", countdown=7200)
    parked(100)
    assert send("note", "now").get() == "now"
    worker.terminate()
    assert worker.wait() == 0
    parked(100)


def test_a_task_starts_when_it_is_due_and_once(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.worker(concurrency="2")
    send, sent_at = fleet.sender(), time.time()
    for seconds in (1, 2, 3, 4) * 5:
        send("note", f"{seconds}", countdown=seconds)
    until(lambda: len(notes(fleet)) == 20, "all ran")
    late = [at - sent_at - int(seconds) for seconds, at in notes(fleet)]
    print(f"late by {min(late):.2f} to {max(late):.2f} s")
    assert min(late) >= -0.05, "a task ran before its time"
    time.sleep(1)
    assert len(notes(fleet)) == 20, "a task ran twice"


def test_a_due_task_goes_before_those_that_wait(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.worker()
    send = fleet.sender()
    send("note", "due", countdown=3)
    parked(1)
    send("sleep", "busy", 4)
    for _ in range(3):
        send("note", "waiting")
    until(lambda: len(fleet.server.journal()) == 6, "all ran")
    assert [line.split()[0] for line in fleet.server.journal()][:3] == ["start", "end", "due"]


def test_a_task_falls_due_although_every_worker_is_busy(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.worker()
    send = fleet.sender()
    send("note", "due", countdown=2)
    parked(1)
    send("sleep", "busy", 300)
    with fleet.server.client() as client:
        until(lambda: counts(client) == Counts(1, 1, 0, 0), "the scaler sees what is due", within=5)


def test_the_death_of_the_worker_that_parked_it_neither_loses_nor_repeats_a_task(
    fleet: Fleet, parked: Callable[[int], None]
) -> None:
    first = fleet.worker()
    fleet.send("note", "later", countdown=5)
    parked(1)
    first.kill()
    fleet.worker()
    until(lambda: notes(fleet), "it ran")
    time.sleep(1)
    assert len(notes(fleet)) == 1


def test_a_retry_waits_outside_the_worker(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.worker()
    sent = fleet.send("retry_once", 4)
    parked(1)
    assert sent.get() == "second run"


def test_a_rate_limited_task_waits_outside_the_worker_and_keeps_its_rate(fleet: Fleet) -> None:
    worker = fleet.worker(concurrency="2")
    sent = [fleet.send("rated", number) for number in range(5)]  # 60 a minute
    behind = fleet.send("note", "behind")
    assert behind.get(within=10) == "behind", "tasks that must wait keep others from their turn"
    for task in sent:
        task.get()
    runs = sorted(at for what, at in notes(fleet) if what.startswith("rated"))
    gaps = [later - earlier for earlier, later in pairwise(runs)]
    print(f"seconds between two runs: {min(gaps):.2f} to {max(gaps):.2f}")
    assert len(runs) == 5
    assert min(gaps) > 0.9
    for number in range(10):
        fleet.send("rated", number)
    time.sleep(1)
    worker.terminate()
    assert worker.wait() == 0
    with fleet.server.client() as client:
        left = counts(client)
        assert left.running == 0
        ran = len([what for what, _ in notes(fleet) if what.startswith("rated")])
        assert left.waiting + left.parked + ran == 15, "a task was lost at the shutdown"


def test_a_parked_task_that_is_revoked_or_expires_never_runs(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.worker()
    revoked = fleet.send("note", "revoked", countdown=3)
    expired = fleet.send("note", "expired", countdown=3, expires=2)
    parked(2)
    fleet.control().revoke(revoked.id)
    until(lambda: (revoked.status, expired.status) == ("REVOKED", "REVOKED"), "both end")
    assert notes(fleet) == []


def test_an_eta_without_a_time_zone_is_of_the_applications(fleet: Fleet) -> None:
    """The sample's is Europe/Berlin, which Celery's own sender would have converted."""
    fleet.worker()
    for name, eta in (("aware", datetime.now(UTC) + timedelta(seconds=2)), ("past", datetime.now(UTC))):
        fleet.send("note", name, eta=eta)
    until(lambda: len(notes(fleet)) == 2, "both ran")


def test_parked_tasks_of_a_message_of_the_old_protocol_wait_too(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.worker()
    sent = fleet.send_old("note", "old", countdown=3)
    parked(1)
    assert sent.get() == "old"


def test_a_parked_message_is_what_was_sent(fleet: Fleet, parked: Callable[[int], None]) -> None:
    fleet.send(
        "note", "later", countdown=600, priority=6, headers={"empty": [], "big": 2**60, "text": "ü\n", "no": None}
    )
    with fleet.server.client() as client:
        (sent,) = client.lrange(keys.waiting("default", 6), 0, -1)
        fleet.worker()
        parked(1)
        assert client.zrange(keys.parked("default"), 0, -1) == [f"{keys.waiting('default', 6)}\n{sent}"]
