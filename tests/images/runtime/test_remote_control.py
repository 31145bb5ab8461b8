"""Nobody who reaches the broker can make a worker break the fleet's rules; what is refused says why."""

import time
from typing import Any

import pytest
from alphaswarm_runtime.transport import keys

from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis


def ask(fleet: Fleet, command: str, **arguments: object) -> dict[str, Any]:
    """Send a command to the one worker, and return its reply."""
    replies = until(lambda: fleet.control().broadcast(command, arguments=arguments, reply=True, timeout=3), "a reply")
    return dict(next(iter(replies[0].values())))


@pytest.mark.parametrize(
    ("queue", "why"),
    [
        ("backtest", "belongs to image 'executor'"),
        ("paper", "this process was started for default"),
        ("anything", "is not in the catalogue"),
    ],
)
def test_no_queue_can_be_added_to_a_running_worker(fleet: Fleet, queue: str, why: str) -> None:
    fleet.worker()
    assert why in ask(fleet, "add_consumer", queue=queue)["error"]
    fleet.send("note", "not here", queue=queue)
    fleet.send("note", "here").get()
    with fleet.server.client() as client:
        assert client.llen(queue) == 1, "the partition is broken at run time"


def test_its_own_queue_can_be_cancelled_and_added_again(fleet: Fleet) -> None:
    fleet.worker()
    assert "ok" in ask(fleet, "cancel_consumer", queue="default")
    time.sleep(1)
    sent = fleet.send("note", "later")
    time.sleep(2)
    assert not sent.ready()
    assert "ok" in ask(fleet, "add_consumer", queue="default")
    assert sent.get() == "later"


def test_a_pool_grows_no_further_than_the_scaler_counts(fleet: Fleet) -> None:
    fleet.worker(concurrency="2")
    assert "2 tasks at a time" in ask(fleet, "pool_grow", n=1)["error"]
    assert "ok" in ask(fleet, "pool_shrink", n=1)
    assert "ok" in ask(fleet, "pool_grow", n=1)
    assert "error" in ask(fleet, "autoscale", max=10, min=1)


def test_a_shutdown_ends_running_tasks_first(fleet: Fleet) -> None:
    worker = fleet.worker()
    sent = fleet.send("sleep", "a", 4)
    until(fleet.server.journal, "it runs")
    assert "ok" in ask(fleet, "shutdown")
    assert worker.wait() == 0
    assert sent.status == "SUCCESS"


def test_a_rate_limit_is_obeyed_and_a_time_limit_up_to_the_queues_own(fleet: Fleet) -> None:
    fleet.worker(ALPHASWARM_TIME_LIMIT="5")
    assert "ok" in ask(fleet, "time_limit", task_name="sample.sleep", hard=9000, soft=8999)
    sent = fleet.send("sleep", "too long", 60)
    assert "ok" in ask(fleet, "rate_limit", task_name="sample.note", rate_limit="1/h")
    first, second = fleet.send("note", "first"), fleet.send("note", "second")
    assert first.get() == "first"
    with fleet.server.client() as client:
        until(lambda: client.zcard(keys.parked("default")) == 1, "the second waits for its turn")
    assert not second.ready()
    assert sent.status == "FAILURE"


@pytest.mark.parametrize("limits", [{"hard": 2}, {"hard": 60, "soft": 2}])
def test_a_lower_time_limit_counts_from_the_next_task_on(fleet: Fleet, limits: dict[str, int]) -> None:
    fleet.worker()
    assert fleet.send("note", "before").get() == "before"  # the worker has made all it makes of its tasks
    assert "ok" in ask(fleet, "time_limit", task_name="sample.sleep", **limits)
    sent, began = fleet.send("sleep", "too long", 30), time.monotonic()
    until(sent.ready, "it is ended")
    assert sent.status == "FAILURE"
    assert time.monotonic() - began < 20, "it ended by itself"


def test_a_task_can_be_revoked_while_no_worker_runs(fleet: Fleet) -> None:
    fleet.start("beat", CELERY_APP="slow").wait_ready()
    sent = [fleet.send("note", what, queue="workflows") for what in ("revoked", "wanted")]
    time.sleep(1)  # it listens from a thread of its own
    fleet.control().revoke(sent[0].id)
    with fleet.server.client() as client:
        until(lambda: client.zscore("revoked", sent[0].id), "it is kept")
        assert 0 < client.zscore("revoked", sent[0].id) - time.time() <= 24 * 3600
    fleet.worker("workflows")
    assert sent[1].get() == "wanted"
    until(lambda: sent[0].status == "REVOKED", "it is revoked")
    assert [line.split()[0] for line in fleet.server.journal()] == ["wanted"]


def test_a_revocation_outlives_the_worker_that_heard_it(fleet: Fleet) -> None:
    first = fleet.worker()
    sent = [fleet.send("note", what, queue="workflows") for what in ("revoked", "revoked", "wanted")]
    fleet.control().revoke([sent[0].id, sent[1].id])
    with fleet.server.client() as client:
        until(lambda: client.zcard("revoked") == 2, "both are kept")
        left = client.zscore("revoked", sent[0].id) - time.time()
    assert 1200 < left < 1240, "the sample's results are kept for 1234 s"
    first.kill()
    fleet.worker("workflows")
    assert sent[2].get() == "wanted"
    assert [line.split()[0] for line in fleet.server.journal()] == ["wanted"]


@pytest.mark.parametrize("headers", [{"run": ["r1", "r2"]}, {"run": "r1"}, ["run=r1"]])
def test_a_revocation_by_stamps_reaches_a_worker_that_did_not_run(fleet: Fleet, headers: object) -> None:
    fleet.start("beat", CELERY_APP="slow").wait_ready()
    sent = [fleet.send("note", run, queue="workflows", stamped_headers=["run"], run=run) for run in ("r1", "r3")]
    time.sleep(1)  # beat listens from a thread of its own
    fleet.control().revoke_by_stamped_headers(headers)
    with fleet.server.client() as client:
        until(lambda: client.zcard("revoked:stamps"), "it is kept")
    fleet.worker("workflows")
    assert sent[1].get() == "r3"
    until(lambda: sent[0].status == "REVOKED", "it is revoked")
    assert [line.split()[0] for line in fleet.server.journal()] == ["r3"]


def test_what_is_scheduled_can_be_inspected(fleet: Fleet) -> None:
    fleet.worker()
    sent = fleet.send("note", "later", countdown=600)
    with fleet.server.client() as client:
        until(lambda: client.zcard(keys.parked("default")) == 1, "it is parked")
    (found,) = until(lambda: fleet.control().inspect(timeout=3).scheduled(), "a reply").values()
    assert [(entry["request"]["id"], entry["request"]["name"]) for entry in found] == [(sent.id, "sample.note")]
    assert "later" in found[0]["request"]["args"]
