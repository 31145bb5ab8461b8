"""A message's priority is its sender's to set: no list is forgotten, and a higher priority goes first."""

import time
from collections import Counter

import pytest
from alphaswarm_runtime.transport.ledger import count_messages

from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis


def test_every_priority_is_read_and_counted_and_the_highest_first(fleet: Fleet) -> None:
    send = fleet.sender()
    for priority in (9, 7, 5, 3, 1, 0):
        send("note", str(priority), priority=priority)
    with fleet.server.client() as client:
        assert count_messages(client, "default").waiting == 6
    fleet.worker()
    until(lambda: len(fleet.server.journal()) == 6, "all ran")
    assert [line.split()[0] for line in fleet.server.journal()] == ["1", "0", "5", "3", "7", "9"]


def test_a_message_of_any_priority_is_found_soon_by_an_idle_worker(fleet: Fleet) -> None:
    fleet.worker()
    send = fleet.sender()
    send("note", "first").get()
    for priority in (0, 3, 6, 9):
        sent_at = time.time()
        send("note", f"priority-{priority}", priority=priority).get()
        ran_at = float(fleet.server.journal()[-1].split()[1])
        print(f"priority {priority}: started after {ran_at - sent_at:.3f} s")


def test_a_message_comes_back_to_the_list_of_its_priority(fleet: Fleet) -> None:
    worker = fleet.worker("ingestion", ALPHASWARM_SOFT_SHUTDOWN="1", ALPHASWARM_GRACE_PERIOD="20")
    sent = fleet.send("sleep", "long", 4, queue="ingestion", priority=6)
    until(fleet.server.journal, "it runs")
    worker.terminate()
    assert worker.wait() == 0
    with fleet.server.client() as client:
        assert client.llen("ingestion\x06\x166") == 1
    fleet.worker("ingestion")
    assert sent.get() == "long"


def test_an_idle_worker_does_not_hammer_the_broker(fleet: Fleet) -> None:
    fleet.worker(ALPHASWARM_HEARTBEAT="5", ALPHASWARM_LEASE="30", ALPHASWARM_RESTORE_INTERVAL="10")
    time.sleep(2)
    with fleet.server.client() as client, client.monitor() as monitor:
        until_ = time.monotonic() + 10
        requests: Counter[str] = Counter()
        while time.monotonic() < until_:
            request = monitor.next_command()
            if request["client_type"] != "lua":
                requests[request["command"].split()[0]] += 1
    print(f"{requests.total() / 10:.1f} requests a second at idle: {dict(requests)}")
    assert requests.total() < 60


@pytest.mark.parametrize(("option", "value"), [("priority_steps", [0, 5]), ("priority_steps", [1, 2]), ("sep", ":")])
def test_lists_that_the_scaler_does_not_count_are_refused_in_one_line(fleet: Fleet, option: str, value: object) -> None:
    environ = {"CELERY_APP": "options", "SAMPLE_OPTION": option, "SAMPLE_VALUE": repr(value)}
    done = fleet.run("show", "--queues", "default", **environ)
    assert done.returncode == 78
    assert len(done.stderr.strip().splitlines()) == 1
    assert option in done.stderr


def test_fewer_priorities_than_the_scaler_counts_are_fine(fleet: Fleet) -> None:
    environ = {"CELERY_APP": "options", "SAMPLE_OPTION": "priority_steps", "SAMPLE_VALUE": "[0, 6]"}
    done = fleet.run("show", "--queues", "default", **environ)
    assert done.returncode == 0, done.stderr
