"""A result store that hangs or is away costs no task, and neither the event loop nor the probes their time."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.runtime.harness import Fleet, Process, SentTask, Server, free_port, until

pytestmark = pytest.mark.redis

WAIT = "4"  # seconds for which a result that cannot be written is tried again


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    """A result store that is another server than the broker."""
    (tmp_path / "results").mkdir()
    server = Server(free_port(), tmp_path / "results")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def worker(fleet: Fleet, store: Server, **more: str) -> Process:
    return fleet.worker(CELERY_RESULT_BACKEND=store.results_url, ALPHASWARM_RESULT_WAIT=WAIT, **more)


def take_away(store: Server, how: str) -> None:
    if how == "hangs":
        store.pause()
    else:
        store.stop()


def settled(fleet: Fleet) -> bool:
    """Whether no message waits or is in flight."""
    with fleet.server.client() as client:
        return not client.exists("default", "unacked:{default}")


@pytest.mark.parametrize("how", ["hangs", "is away"])
def test_a_task_whose_result_cannot_be_written_ran_once_and_is_counted(fleet: Fleet, store: Server, how: str) -> None:
    port = free_port()
    started = worker(fleet, store, ALPHASWARM_METRICS_PORT=str(port), ALPHASWARM_METRICS_HOST="127.0.0.1")
    take_away(store, how)
    fleet.send("note", "once")
    until(lambda: settled(fleet), "the message is acknowledged")

    def counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        return 'alphaswarm_results_lost_total{queue="default"} 1.0' in text and (
            'alphaswarm_tasks_total{queue="default",state="succeeded"} 1.0' in text
        )

    until(counted, "it is counted")
    assert len(fleet.server.journal()) == 1
    assert "could not be written" in started.output


def test_a_store_that_returns_in_time_gets_the_result(fleet: Fleet, store: Server) -> None:
    fleet.worker(CELERY_RESULT_BACKEND=store.results_url)
    store.stop()
    sent = SentTask(fleet.send("note", "kept").id, store)
    until(fleet.server.journal, "the task ran")
    time.sleep(2)
    store.start()
    assert sent.get() == "kept"
    until(lambda: settled(fleet), "the message is acknowledged")


@pytest.mark.parametrize("how", ["hangs", "is away"])
def test_a_task_starts_although_its_start_cannot_be_recorded(fleet: Fleet, store: Server, how: str) -> None:
    worker(fleet, store, SAMPLE_TRACK_STARTED="1")
    take_away(store, how)
    fleet.send("note", "started")
    until(fleet.server.journal, "the task ran")


@pytest.mark.parametrize("how", ["hangs", "is away"])
def test_a_task_that_reports_progress_does_not_fail_for_it(fleet: Fleet, store: Server, how: str) -> None:
    worker(fleet, store)
    take_away(store, how)
    fleet.send("report_progress", "went on")
    until(fleet.server.journal, "the task ran to its end")


def test_children_that_die_while_the_store_hangs_hold_up_neither_probes_nor_tasks(fleet: Fleet, store: Server) -> None:
    started = worker(fleet, store, ALPHASWARM_MAX_DELIVERIES="1")
    store.pause()
    for _ in range(4):
        fleet.send("child_killer")
    fleet.send("note", "after them")

    def dead_letters() -> bool:
        assert started.probe("ready")[0] == 0, started.report()
        with fleet.server.client() as client:
            return bool(client.llen("dead:{default}") == 4)

    until(dead_letters, "the worker gives them up, and stays ready meanwhile")
    until(lambda: any(line.startswith("after them") for line in fleet.server.journal()), "the task after them ran")


def test_a_time_limit_and_a_revocation_hold_nothing_up_while_the_store_hangs(fleet: Fleet, store: Server) -> None:
    started = worker(fleet, store)
    store.pause()
    fleet.send("sleep", "too long", 60, time_limit=2, soft_time_limit=1)
    revoked = fleet.send("note", "revoked")
    assert fleet.control().revoke(revoked.id, reply=True, timeout=4), "no worker replied in time"

    def ended() -> bool:
        assert started.probe("ready")[0] == 0, started.report()
        return settled(fleet)

    until(ended, "both messages are acknowledged, and the worker stays ready meanwhile")
    assert not [line for line in fleet.server.journal() if line.startswith("revoked")]


def test_sigterm_waits_for_no_result_of_the_parents(fleet: Fleet, store: Server) -> None:
    started = fleet.worker(CELERY_RESULT_BACKEND=store.results_url, ALPHASWARM_MAX_DELIVERIES="1")
    store.pause()
    fleet.send("child_killer")
    with fleet.server.client() as client:
        until(lambda: client.llen("dead:{default}") == 1, "the message is a dead letter")
    started.terminate()
    assert started.wait(15) == 0
    assert "were not written" in started.output


def test_what_the_parent_could_not_write_at_once_is_written_when_the_store_returns(fleet: Fleet, store: Server) -> None:
    fleet.worker(CELERY_RESULT_BACKEND=store.results_url, ALPHASWARM_MAX_DELIVERIES="1")
    store.pause()
    sent = SentTask(fleet.send("child_killer").id, store)
    with fleet.server.client() as client:
        until(lambda: client.llen("dead:{default}") == 1, "the message is a dead letter")
    store.resume()
    until(lambda: sent.status == "FAILURE", "the failure is there")


def test_a_result_that_cannot_be_serialized_is_the_tasks_failure(fleet: Fleet, store: Server) -> None:
    worker(fleet, store)
    sent = SentTask(fleet.send("unstorable").id, store)
    until(lambda: sent.status == "FAILURE", "the task failed")


def test_a_result_store_that_cannot_be_opened_is_refused_in_one_line(fleet: Fleet) -> None:
    done = fleet.run("worker", "--queues", "default", CELERY_RESULT_BACKEND="nosuchstore://host/1")
    assert done.returncode == 78
    assert "nosuchstore" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["", "disabled://"])
def test_an_application_without_a_result_store_runs_its_tasks(fleet: Fleet, url: str) -> None:
    fleet.worker(CELERY_RESULT_BACKEND=url, ALPHASWARM_MAX_DELIVERIES="1")
    fleet.send("child_killer")
    fleet.send("note", "ran")
    until(lambda: any(line.startswith("ran") for line in fleet.server.journal()), "the task ran")
    until(lambda: settled(fleet), "both messages are done with")


def test_a_store_of_another_kind_gets_the_results_of_children_and_parent(fleet: Fleet, tmp_path: Path) -> None:
    fleet.worker(CELERY_RESULT_BACKEND=f"file://{tmp_path}", ALPHASWARM_MAX_DELIVERIES="1")
    killed, ran = fleet.send("child_killer"), fleet.send("note", "ran")
    until(lambda: any(line.startswith("ran") for line in fleet.server.journal()), "the task ran")
    until(lambda: settled(fleet), "both messages are done with")
    assert "FAILURE" in (tmp_path / f"celery-task-meta-{killed.id}").read_text()
    assert "SUCCESS" in (tmp_path / f"celery-task-meta-{ran.id}").read_text()
