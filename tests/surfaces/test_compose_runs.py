"""The Compose files' services, run as written against a real Redis: each queue is drained by its own and no other."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from queues import QUEUES
from tests.images.runtime.conftest import fleet  # noqa: F401 a fixture
from tests.images.runtime.harness import APPLICATIONS, Fleet, Process, free_port, until

from .compose_file import PATHS, ROOT, compose, workers

pytestmark = pytest.mark.redis

RUNTIME = ROOT / "images/runtime/src"
PASSWORD = "a1b2c3d4e5"
SECRET = "/run/secrets/redis-broker.json"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder that stands for /run/secrets."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "redis-broker.json").write_text(json.dumps(PASSWORD))
    return folder


def start_service(fleet: Fleet, service: dict[str, Any], secrets: Path, port: int) -> Process:  # noqa: F811 a fixture
    """Start a service's command with its environment; its broker is at a port of this machine."""
    own = {
        **service["environment"],
        "ALPHASWARM_IMAGE": service["build"]["target"],  # the image says so
        "ALPHASWARM_BOOTSTRAP_STATE_DIR": str(secrets),
        "ALPHASWARM_BROKER_HOST": "127.0.0.1",
        "ALPHASWARM_BROKER_PORT": str(port),
        "CELERY_APP": "sample",
        "CELERY_BROKER_URL": "",
        "CELERY_RESULT_BACKEND": "",
        "PYTHONPATH": os.pathsep.join((str(RUNTIME), str(APPLICATIONS))),  # with the catalogue as it is committed
        "XDG_CACHE_HOME": str(secrets.parent),
    }
    return fleet.start(*service["command"], **own)


@pytest.mark.parametrize("path", PATHS)
def test_every_queue_is_drained_by_its_own_service(
    fleet: Fleet,  # noqa: F811 a fixture
    secrets: Path,
    tmp_path: Path,
    path: str,
) -> None:
    model, port, data = compose(path), free_port(), tmp_path / "data"
    data.mkdir()
    (command,) = model["services"]["redis"]["command"][2:]
    # What has the container's place here: its folders, and the port of its network.
    script = command.replace("--dir /data", f"--dir {shlex.quote(str(data))} --port {port} --bind 127.0.0.1")
    script = script.replace(SECRET, shlex.quote(str(secrets / "redis-broker.json")))
    broker = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, password=PASSWORD)
        until(lambda: answers(client), "the file's Redis answers")
        assert not answers(redis.Redis(port=port)), "it asks for no password"
        started = {name: start_service(fleet, service, secrets, port) for name, service in workers(path)}
        for process in started.values():
            process.wait_ready()
        sent = {queue: send(fleet, model, secrets, port, queue) for queue in sorted(QUEUES.names)}
        for name, service in workers(path):
            own = service["environment"]["ALPHASWARM_QUEUES"].split(",")
            ran = [queue for queue, task in sent.items() if task in started[name].output]
            assert sorted(ran) == sorted(own), f"{name} drains other queues than its own"
        client.close()
        assert (data / "appendonlydir").is_dir(), "what waits is lost with the container"
    finally:
        for process in fleet.started:
            process.kill()
        broker.terminate()
        broker.wait(10)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def send(fleet: Fleet, model: dict[str, Any], secrets: Path, port: int, queue: str) -> str:  # noqa: F811 a fixture
    """Send a task by the file's one-shot, and return its id once it has ended."""
    service = model["services"]["send-task"]
    assert service["command"][0] == "send"
    service = {**service, "command": ["send", "sample.length", "--args", '["four"]', "--queue", queue, "--wait", "60"]}
    process = start_service(fleet, service, secrets, port)
    assert process.wait(60) == 0, process.output
    (line,) = [line for line in process.output.splitlines() if " SUCCESS 4" in line]
    return line.split()[0]
