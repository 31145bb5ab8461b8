"""What an application may do to a worker is kept, or refused at start in one line; never half of it."""

from collections import Counter

import pytest

from tests.images.runtime.harness import Fleet, Process, until

pytestmark = pytest.mark.redis

SIGNALS = ("celeryd_init", "worker_init", "celeryd_after_setup")


def journal(fleet: Fleet) -> Counter[str]:
    return Counter(line for line in fleet.server.journal() if "start" not in line.split()[:1])


def start_and_send_three(fleet: Fleet, signal: str, change: str, seconds: int) -> Process:
    """Start a worker that the application changes at the signal, and wait until it runs the first of three tasks."""
    worker = fleet.worker(CELERY_APP="late", LATE_SIGNAL=signal, LATE_CHANGE=change)
    for number in range(3):
        fleet.send("sleep", str(number), seconds)
    until(lambda: any(line.startswith("start") for line in fleet.server.journal()), "one runs")
    return worker


def until_three_end(fleet: Fleet) -> None:
    until(lambda: sum(line.startswith("end") for line in fleet.server.journal()) == 3, "all end")


def test_steps_classes_signals_and_logging_of_an_application_are_kept(fleet: Fleet) -> None:
    worker = fleet.worker(CELERY_APP="elaborate")
    pids = [fleet.send("pid").get() for _ in range(5)]
    assert len(set(pids)) == 3, "a child ends after two tasks"
    seen = journal(fleet)
    assert seen["worker init"] == seen["worker step started"] == seen["consumer step started"] == 1
    assert seen["child init"] == 3
    assert seen["task called"] == seen["request accepted"] == 5
    assert "mine: " in worker.output
    fleet.server.drop_connections()
    until(lambda: journal(fleet)["consumer step started"] == 2, "it consumes again")
    worker.terminate()
    assert worker.wait() == 0
    assert journal(fleet)["worker step stopped"] == 1


@pytest.mark.parametrize("signal", SIGNALS)
def test_settings_that_a_signal_changes_lose_no_task(fleet: Fleet, signal: str) -> None:
    worker = start_and_send_three(fleet, signal, "settings", seconds=20)
    with fleet.server.client() as client:
        assert client.hlen("unacked:{default}") == 1, "one is in flight, and not acknowledged before it ends"
        assert client.llen("default") == 2
    worker.kill()
    fleet.worker("default", "3")
    until_three_end(fleet)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_worker_that_a_signal_changes_keeps_its_pool_and_size(fleet: Fleet, signal: str) -> None:
    worker = start_and_send_three(fleet, signal, "worker", seconds=3)
    with fleet.server.client() as client:
        assert client.hlen("unacked:{default}") == 1
    until_three_end(fleet)
    lines = [line.split() for line in sorted(fleet.server.journal(), key=lambda line: float(line.split()[3]))]
    assert [line[0] for line in lines] == ["start", "end"] * 3, "one at a time"
    assert worker.pid not in {int(line[4]) for line in lines}


@pytest.mark.parametrize("signal", ["worker_init", "celeryd_after_setup", "step"])
@pytest.mark.parametrize("queue", ["backtest", "celery@host.dq"])
def test_a_queue_that_a_signal_adds_ends_the_worker_before_it_consumes(fleet: Fleet, signal: str, queue: str) -> None:
    fleet.send("note", "not mine", queue=queue)
    done = fleet.run(
        "worker", "--queues", "default", CELERY_APP="late", LATE_SIGNAL=signal, LATE_CHANGE="queue", LATE_QUEUE=queue
    )
    assert done.returncode == 78
    assert f"{queue!r}" in done.stderr
    assert "Traceback" not in done.stderr
    with fleet.server.client() as client:
        assert client.llen(queue) == 1


@pytest.mark.parametrize("signal", SIGNALS)
def test_lists_that_a_signal_renames_end_the_worker_before_it_consumes(fleet: Fleet, signal: str) -> None:
    done = fleet.run("worker", "--queues", "default", CELERY_APP="late", LATE_SIGNAL=signal, LATE_CHANGE="keyprefix")
    assert done.returncode == 78
    assert "global_keyprefix" in done.stderr
    assert "Traceback" not in done.stderr
