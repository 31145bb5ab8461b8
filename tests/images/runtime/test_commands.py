"""Queues and dead letters are looked at and handled by commands, without a word of Redis."""

import json
from typing import Any

import pytest
from alphaswarm_runtime.transport import keys

from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis

ROUTED = """
from sample import app

app.conf.task_routes = {"sample.*": {"queue": "default"}}
"""


def output(fleet: Fleet, *arguments: str) -> str:
    done = fleet.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def queues(fleet: Fleet) -> dict[str, Any]:
    return dict(json.loads(output(fleet, "queues", "--json")))


def kill_tasks(fleet: Fleet, count: int) -> list[str]:
    """Make dead letters, and return the ids of their tasks."""
    worker = fleet.worker(ALPHASWARM_MAX_DELIVERIES="1")
    ids = [fleet.send("child_killer").id for _ in range(count)]
    with fleet.server.client() as client:
        until(lambda: client.llen(keys.dead("default")) == count, "all are dead letters")
    worker.terminate()
    worker.wait()
    return ids


def test_queues_shows_what_is_where_and_who_runs_it(fleet: Fleet) -> None:
    fleet.worker()
    running = fleet.send("sleep", "long", 300)
    until(fleet.server.journal, "it runs")
    waiting = [fleet.send("note", "waits", priority=priority) for priority in (0, 0, 5)]
    fleet.send("note", "later", queue="workflows", countdown=600)
    fleet.send("note", "lost", queue="celery")
    with fleet.server.client() as client:
        client.rpush("no celery message", "1")
    found = queues(fleet)
    default = found["queues"]["default"]
    assert default["image"] == "worker"
    assert default["waiting"] == {"0": 2, "3": 1, "6": 0, "9": 0}
    assert (default["running"], default["parked"], default["dead"]) == (1, 0, 0)
    assert 0 <= default["oldest_seconds"] < 60
    assert found["queues"]["ingestion"]["oldest_seconds"] is None
    assert default["next"] == {"id": waiting[0].id, "task": "sample.note"}
    ((owner, messages, lease),) = ((entry["name"], entry["messages"], entry["lease"]) for entry in default["owners"])
    assert messages == 1
    assert 0 < lease <= 6
    assert found["unserved"] == {"celery": 1}
    text = output(fleet, "queues")
    assert "3 (2+1+0+0)" in text
    assert owner in text
    assert "nobody reads 'celery': 1 messages" in text
    assert set(found["queues"]) == {line.split()[0] for line in text.splitlines()[1 : len(found["queues"]) + 1]}
    assert running.status in ("PENDING", "STARTED")


def test_dead_letters_are_listed_shown_and_chosen(fleet: Fleet) -> None:
    ids = kill_tasks(fleet, 3)
    with fleet.server.client() as client:
        client.lpush(keys.dead("default"), "no message")
    listed = output(fleet, "dead", "list", "default").splitlines()
    assert [line.split()[1] for line in listed[:3]] == ids, "the oldest comes first"
    assert "sample.child_killer()" in listed[0]
    assert "started 1 times" in listed[0]
    assert "no message: 'no message'" in listed[3]
    assert len(output(fleet, "dead", "list", "default", "--limit", "2").splitlines()) == 2
    assert ids[1] in output(fleet, "dead", "list", "default", "--id", ids[1])
    assert output(fleet, "dead", "list", "default", "--task", "other.*") == ""
    assert len(output(fleet, "dead", "list", "default", "--task", "sample.*").splitlines()) == 3
    assert len(output(fleet, "dead", "list", "default", "--reason", "kills its worker").splitlines()) == 3
    assert output(fleet, "dead", "list", "default", "--older-than", "3600").splitlines() == [listed[3]]
    shown = json.loads(output(fleet, "dead", "show", "default", "--id", ids[0]))
    assert shown["headers"]["dead"]["queue"] == "default"


def test_dead_letters_are_requeued_and_dropped_by_choice(fleet: Fleet) -> None:
    ids = kill_tasks(fleet, 3)
    refused = fleet.run("dead", "drop", "default")
    assert refused.returncode == 78
    assert "--all" in refused.stderr
    assert "0 dropped, 3 left" in output(fleet, "dead", "drop", "default", "--all", "--dry-run")
    assert "1 requeued, 2 left" in output(fleet, "dead", "requeue", "default", "--id", ids[1])
    with fleet.server.client() as client:
        assert client.llen("default") == 1
        client.lpush(keys.dead("default"), "no message")
        text = output(fleet, "dead", "requeue", "default", "--all")
        assert "left: -  no message" in text
        assert "2 requeued, 1 left" in text
        assert client.llen("default") == 3
        assert "1 dropped, 0 left" in output(fleet, "dead", "drop", "default", "--all")
    fleet.worker(ALPHASWARM_MAX_DELIVERIES="1")
    with fleet.server.client() as client:
        until(lambda: client.llen(keys.dead("default")) == 3, "each is delivered as often as a new one, and dies again")
    assert fleet.server.journal().count("killing child") == 6


def test_a_queue_that_is_not_there_is_refused_in_one_line(fleet: Fleet) -> None:
    done = fleet.run("dead", "list", "nope")
    assert done.returncode == 78
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_does_not_answer_is_one_line(fleet: Fleet) -> None:
    fleet.server.stop()
    done = fleet.run("queues")
    assert done.returncode == 69
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_task_is_sent_where_the_application_routes_it_and_its_result_is_printed(fleet: Fleet) -> None:
    (fleet.folder / "routed.py").write_text(ROUTED)
    fleet.worker(CELERY_APP="routed")
    done = fleet.run("send", "sample.length", "--args", '["four"]', "--wait", "30", CELERY_APP="routed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["default", "SUCCESS", "4"]
    several = fleet.run(
        "send", "sample.note", "--kwargs", '{"what": "w"}', "--queue", "workflows", "--count", "3", CELERY_APP="routed"
    )
    assert [line.split()[1] for line in several.stdout.splitlines()] == ["workflows"] * 3
    with fleet.server.client() as client:
        assert client.llen("workflows") == 3


@pytest.mark.parametrize(("task", "said"), [("sample.fail", "FAILURE ValueError"), ("sample.sleep", "not done after")])
def test_a_task_that_did_not_succeed_in_time_is_a_failure(fleet: Fleet, task: str, said: str) -> None:
    fleet.worker()
    arguments = ("--args", '["long", 60]') if task == "sample.sleep" else ()
    done = fleet.run("send", task, *arguments, "--queue", "default", "--wait", "3")
    assert done.returncode == 1, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sample.nota",), 78, "did you mean sample.note?"),
        (("sample.note", "--queue", "defaults"), 78, "no image drains queue 'defaults'"),
        (("sample.note", "--args", '{"a": 1}'), 64, "is not JSON such as"),
        (("sample.note", "--kwargs", "what=1"), 64, "is not JSON such as"),
    ],
)
def test_a_task_that_nobody_could_run_is_not_sent(
    fleet: Fleet, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = fleet.run("send", *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("results", ["redis", "cache+memory"])
def test_a_task_for_a_broker_that_is_away_is_one_line(fleet: Fleet, results: str) -> None:
    more = {} if results == "redis" else {"CELERY_RESULT_BACKEND": f"{results}://"}
    fleet.server.stop()
    done = fleet.run("send", "sample.note", "--queue", "default", **more)
    assert done.returncode == 69, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
