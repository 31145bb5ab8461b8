"""A task that kills its worker is started a few times and then becomes a dead letter; a healthy one never does."""

import json
from functools import partial
from typing import Any

import pytest
from alphaswarm_runtime.transport import keys

from tests.images.runtime.harness import Fleet, Process, Redis, SentTask, until

pytestmark = pytest.mark.redis

DEAD = keys.dead("default")


def _ended_or_dead_letter(worker: Process, client: Redis) -> bool:
    return worker.popen.poll() is not None or bool(client.llen(DEAD))


def _starts(fleet: Fleet, what: str) -> int:
    return sum(line.startswith(f"start {what} ") for line in fleet.server.journal())


def _journal_has(fleet: Fleet, lines: int) -> bool:
    return len(fleet.server.journal()) == lines


def test_a_task_that_kills_its_process_each_time_becomes_a_dead_letter_and_frees_the_queue(fleet: Fleet) -> None:
    from celery.exceptions import WorkerLostError

    worker = fleet.worker()
    killer = fleet.send("child_killer")
    behind = fleet.send("note", "behind")
    assert behind.get() == "behind", "one bad task blocks its queue"
    with pytest.raises(WorkerLostError, match=r"dead:\{default\}"):
        killer.get()  # the failure is stored first; the message is moved, and that is logged, after it
    until(lambda: f"sample.child_killer[{killer.id}] moved to {DEAD}" in worker.output, "the log says so")
    with fleet.server.client() as client:
        dead = [json.loads(message) for message in client.lrange(DEAD, 0, -1)]
        left = client.llen("default"), client.hlen(keys.unacked("default"))
    starts = fleet.server.journal().count("killing child")
    print(f"starts {starts}, dead {len(dead)}, left (waiting, running) {left}")
    assert starts == 4
    assert [message["headers"]["id"] for message in dead] == [killer.id]
    assert dead[0]["headers"]["dead"]["queue"] == "default"
    assert left == (0, 0)


@pytest.mark.parametrize("exception", ["SystemExit", "KeyboardInterrupt"])
def test_a_task_that_ends_its_process_with_an_exception_becomes_a_dead_letter(fleet: Fleet, exception: str) -> None:
    fleet.worker(ALPHASWARM_MAX_DELIVERIES="2")
    ending = fleet.send("raise_builtin", exception)
    with fleet.server.client() as client:
        until(lambda: client.llen(DEAD) == 1, "it is given up")
    assert ending.status == "FAILURE"
    assert fleet.server.journal().count(f"raising {exception}") == 2, "it is started for ever"


@pytest.mark.parametrize("exception", ["MemoryError", "RecursionError", "GeneratorExit", "StopIteration"])
def test_an_exception_of_a_task_is_its_failure_and_no_others(fleet: Fleet, exception: str) -> None:
    """Celery's worker ends itself, and so all other tasks, when a task raises MemoryError."""
    worker = fleet.worker(concurrency="2")
    other = fleet.send("sleep", "other", 3)
    until(lambda: _starts(fleet, "other") == 1, "another task runs")
    failing = fleet.send("raise_builtin", exception)
    until(failing.ready, "it fails")
    assert failing.status == "FAILURE"
    assert type(failing.meta()["result"]).__name__ == exception
    other.get()
    assert _starts(fleet, "other") == 1, "the other task began anew"
    assert fleet.send("note", "next").get() == "next", "the worker ended"
    assert worker.popen.poll() is None
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("default")) == 0, "both are acknowledged")
    assert fleet.server.journal().count(f"raising {exception}") == 1


def test_who_waits_for_a_task_that_is_given_up_is_told(fleet: Fleet) -> None:
    """Its errback runs, and the chord that it is a part of fails: it would wait for ever."""
    from celery import Celery, chord

    app = Celery("sender", broker=fleet.server.url, backend=fleet.server.results_url, set_as_current=False)

    def signature(task: str, *args: str) -> Any:  # noqa: ANN401 celery.Signature
        return app.signature(f"sample.{task}", args=args, queue="default", immutable=True)

    fleet.worker(ALPHASWARM_MAX_DELIVERIES="1")
    signature("child_killer").apply_async(link_error=signature("note", "errback"))
    body = chord([signature("note", "part"), signature("child_killer")], app=app)(signature("note", "body"))
    until(lambda: any(line.startswith("errback ") for line in fleet.server.journal()), "the errback runs")
    task = SentTask(body.id, fleet.server)
    until(task.ready, "the chord ends")
    assert task.status == "FAILURE"
    assert not any(line.startswith("body ") for line in fleet.server.journal())


def test_a_dead_letter_can_be_requeued_with_one_command(fleet: Fleet) -> None:
    fleet.worker(ALPHASWARM_MAX_DELIVERIES="1")
    killer = fleet.send("child_killer")
    with fleet.server.client() as client:
        until(lambda: client.llen(DEAD) == 1, "the task is a dead letter after one start")
        client.lmove(DEAD, "default", "RIGHT", "LEFT")
        until(lambda: client.llen(DEAD) == 1, "it is started again and is a dead letter again")
    assert fleet.server.journal().count("killing child") == 2
    assert killer.status == "FAILURE"


def test_a_task_that_kills_the_whole_worker_each_time_becomes_a_dead_letter(fleet: Fleet) -> None:
    fleet.send("worker_killer")
    workers = 0
    with fleet.server.client() as client:
        while not client.llen(DEAD):
            workers += 1
            assert workers <= 8, "the task is started for ever"
            worker = fleet.start("worker", "--queues", "default", "--concurrency", "1")
            until(partial(_ended_or_dead_letter, worker, client), "the worker dies")
    starts = fleet.server.journal().count("killing worker")
    print(f"workers started {workers}, starts {starts}")
    assert starts == 4


def test_a_task_that_shutdowns_requeue_many_times_is_no_dead_letter(fleet: Fleet) -> None:
    tuned = {"ALPHASWARM_SOFT_SHUTDOWN": "1", "ALPHASWARM_GRACE_PERIOD": "20", "ALPHASWARM_MAX_DELIVERIES": "2"}
    sent = fleet.send("sleep", "long", 4, queue="ingestion")
    for round_ in range(1, 5):
        worker = fleet.worker("ingestion", **tuned)
        until(partial(_journal_has, fleet, round_), "the task runs")
        worker.terminate()
        assert worker.wait() == 0
    fleet.worker("ingestion", **tuned)
    assert sent.get() == "long"
    print(f"requeued 4 times, allowed starts 2, started {len(fleet.server.journal()) - 1}, ended 1")


def test_dropped_connections_do_not_bring_a_task_nearer_to_its_limit(fleet: Fleet) -> None:
    worker = fleet.worker(ALPHASWARM_MAX_DELIVERIES="2")
    sent = fleet.send("sleep", "long", 6)
    for drops in range(1, 5):
        until(partial(_journal_has, fleet, drops), "the task runs")
        fleet.server.drop_connections()
    assert sent.get() == "long", worker.output


def test_a_task_that_asks_to_be_requeued_is_no_dead_letter(fleet: Fleet) -> None:
    fleet.worker()
    fleet.send("requeue", 12)
    until(lambda: fleet.server.journal() == ["requeued enough"], "the task ends")


def test_a_queue_that_the_application_consumes_without_acknowledgement_loses_no_task(
    fleet: Fleet, client: Redis
) -> None:
    (fleet.folder / "unacknowledged.py").write_text(
        "from kombu import Queue\nfrom sample import app\napp.conf.task_queues = [Queue('default', no_ack=True)]\n"
    )
    worker = fleet.worker(CELERY_APP="unacknowledged")
    result = fleet.send("sleep", "long", 3)
    until(lambda: _starts(fleet, "long") == 1, "it runs")
    assert client.hlen(keys.unacked("default")) == 1, "the scaler does not count it"
    worker.kill()
    fleet.worker()
    assert result.get() == "long"
