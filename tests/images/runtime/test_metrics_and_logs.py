"""Metrics and log lines of a worker."""

import json
import re
import urllib.request

import pytest

from tests.images.runtime.harness import Fleet, free_port, until

pytestmark = pytest.mark.redis


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_every_end_of_a_task_is_counted_in_the_parent_also_the_death_of_its_process(fleet: Fleet) -> None:
    port = free_port()
    with_metrics = {"ALPHASWARM_METRICS_PORT": str(port), "ALPHASWARM_METRICS_HOST": "127.0.0.1"}
    fleet.worker(concurrency="2", **with_metrics, ALPHASWARM_MAX_DELIVERIES="2")
    for number in range(3):
        fleet.send("note", str(number))
    fleet.send("fail")
    fleet.send("requeue", 1)
    fleet.send("ignore_soft_limit", 30, time_limit=2)
    killer = fleet.send("child_killer")
    until(killer.ready, "the killer is a dead letter")

    def states() -> dict[str, float]:
        found = (re.fullmatch(r'alphaswarm_tasks_total\{queue="default",state="(\w+)"\}', key) for key in scrape(port))
        return {match[1]: scrape(port)[match[0]] for match in found if match}

    expected = {"succeeded": 4, "failed": 1, "rejected": 1, "timeout": 1, "lost": 2, "dead": 1, "started": 9}
    until(lambda: sum(states().values()) >= sum(expected.values()), "everything is counted")
    assert states() == expected
    assert scrape(port)['alphaswarm_task_runtime_seconds_count{queue="default"}'] == 9


def test_waiting_and_running_are_the_numbers_the_scaler_reads(fleet: Fleet) -> None:
    port = free_port()
    fleet.worker(concurrency="2", ALPHASWARM_METRICS_PORT=str(port), ALPHASWARM_METRICS_HOST="127.0.0.1")
    for number in range(5):
        fleet.send("sleep", str(number), 300)

    def numbers() -> tuple[float | None, float | None]:
        found = scrape(port)
        waiting = found.get('alphaswarm_queue_waiting{queue="default"}')
        return waiting, found.get('alphaswarm_queue_running{queue="default"}')

    until(lambda: numbers() == (3, 2), "3 wait, 2 run")


def test_json_logs_name_task_and_queue_in_parent_and_child(fleet: Fleet) -> None:
    worker = fleet.worker(ALPHASWARM_LOG_FORMAT="json")
    sent = fleet.send("log", "hello")
    sent.get()
    worker.terminate()
    worker.wait()
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    in_child = next(line for line in lines if line["message"] == "said: hello")
    in_parent = next(line for line in lines if "received" in line["message"])
    for line in (in_child, in_parent):
        assert (line["task_id"], line["task"], line["queue"]) == (sent.id, "sample.log", "default")
    assert in_child["process"] != in_parent["process"]


def test_each_override_of_the_application_is_one_line_with_its_reason(fleet: Fleet) -> None:
    worker = fleet.worker()
    lines = [line for line in worker.output.splitlines() if "override" in line]
    assert [line for line in lines if "task_acks_late: False (the application's) -> True: " in line]
    assert [line for line in lines if "task sample.own_options: time_limit: 90000 (the application's) -> 600" in line]
    assert not [line for line in lines if "queue_order_strategy" in line or "result_expires" in line]


def test_no_output_shows_a_password(fleet: Fleet) -> None:
    with fleet.server.client() as client:
        client.execute_command("ACL", "SETUSER", "fleet", "on", ">p/w:rd@x", "~*", "&*", "+@all")
    known = {
        "CELERY_BROKER_URL": "",
        "CELERY_RESULT_BACKEND": "",
        "ALPHASWARM_BROKER_HOST": "127.0.0.1",
        "ALPHASWARM_BROKER_PORT": str(fleet.server.port),
        "ALPHASWARM_BROKER_USER": "fleet",
        "REDIS_BROKER": "p/w:rd@x",
    }
    worker = fleet.worker(ALPHASWARM_LOG_LEVEL="DEBUG", **known)
    assert fleet.send("note", "x").get() == "x"
    shown = fleet.run("show", "--queues", "default", **known)
    refused = fleet.run("worker", "--queues", "default", **{**known, "REDIS_BROKER": "wr/ong:pw"})
    assert shown.returncode == 0
    assert refused.returncode == 78, "a wrong password is no outage"
    everything = worker.output + shown.stdout + shown.stderr + refused.stdout + refused.stderr
    for secret in ("p/w:rd@x", "p%2Fw%3Ard%40x", "wr/ong:pw", "wr%2Fong%3Apw"):
        assert secret not in everything
    assert "redis://fleet:***@127.0.0.1" in shown.stdout
