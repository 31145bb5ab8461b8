"""Nothing that a sender puts in a queue is dropped in silence, and nothing of it stops the queue."""

import base64
import json
import time

import pytest
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.inspection import dead_letters

from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis


def reasons(fleet: Fleet) -> list[str]:
    with fleet.server.client() as client:
        return [str(letter.dead.get("why")) for letter in dead_letters(client, "default")]


def push(fleet: Fleet, body: bytes, **more: object) -> None:
    """Put a message into the queue as another program would."""
    message = {
        "body": base64.b64encode(body).decode(),
        "content-type": more.pop("content_type", "application/json"),
        "content-encoding": "utf-8",
        "headers": more.pop("headers", {"task": "sample.note", "id": "odd", "lang": "py"}),
        "properties": {
            "delivery_tag": str(time.monotonic()),
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "default"},
        },
    }
    with fleet.server.client() as client:
        client.lpush("default", json.dumps(message))


def test_a_task_that_is_not_registered_waits_for_a_worker_that_knows_it(fleet: Fleet) -> None:
    old = fleet.worker(CELERY_APP="options", SAMPLE_OPTION="socket_keepalive", SAMPLE_VALUE="True")
    sent = fleet.send("note", "new")
    with fleet.server.client() as client:
        until(lambda: client.zcard(keys.parked("default")) == 1, "its message is parked")
    assert "sample.note is not registered here; its message comes back in 15 s" in old.output
    old.terminate()
    old.wait()
    fleet.worker()
    assert sent.get() == "new"


def test_a_task_that_nobody_ever_knows_is_a_dead_letter_with_its_reason(fleet: Fleet) -> None:
    fleet.worker(ALPHASWARM_MAX_DELIVERIES="1")
    sent = fleet.send("unknown")
    until(lambda: reasons(fleet) == ["task sample.unknown is not registered"], "it is a dead letter", within=30)
    until(lambda: sent.status == "FAILURE", "whoever waits is told")
    assert fleet.send("note", "behind").get() == "behind"


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        (b"no json", {}, "undecodable"),
        (b"no json", {"headers": {}}, "undecodable"),
        (b'"no task"', {"headers": {}}, "no message of Celery's"),
        (b"", {"headers": None}, "no message of Celery's"),
        (b"gASVBQAAAAAAAABdlC4=", {"content_type": "application/x-python-serialize"}, "Refusing to deserialize"),
        (b"{}", {"content_type": "application/x-nobody-knows"}, "Refusing to deserialize"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_at_once(
    fleet: Fleet, body: bytes, more: dict[str, object], reason: str
) -> None:
    worker = fleet.worker()
    push(fleet, body, **more)
    assert fleet.send("note", "behind").get() == "behind"
    until(lambda: reasons(fleet), "it is a dead letter")
    assert reason in reasons(fleet)[0]
    assert worker.popen.poll() is None


def test_a_large_message_is_delivered_parked_and_counted(fleet: Fleet) -> None:
    fleet.worker()
    large = "x" * 20_000_000
    assert fleet.send("length", large, countdown=2).get() == 20_000_000
    assert fleet.send("length", large).get() == 20_000_000
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("default")) == 0, "it is acknowledged")
