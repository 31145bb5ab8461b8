"""The in-cluster Redis starts by the very command of its Deployment, in a folder and on a port of the test's own."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.progress import Progress
from local.ports import free_port
from manifests.broker import REDIS_COMMAND, REDIS_DATA
from tests.waiting import PATIENCE, eventually
from toolchain import ensure

AT_ONCE = Retry(NoBackoff(), 0)
pytestmark = pytest.mark.redis

ARGUMENTS = "arguments"  # as the launcher was given them: Redis later writes a title over its own
PASSWORDS = ["plain", 'a "quoted" one', "it's", "back\\slash\\", "\\x41", "$HOME `id` #", "two\nlines", "p\u00e4ss"]


@contextmanager
def started(folder: Path, port: int, password: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The container's command under this machine's shell; a launcher notes its arguments and adds the port."""
    server = ensure(["redis-server"], Progress())["redis-server"]
    launcher = folder / "redis-server"
    launcher.write_text(
        f"#!/bin/sh\ncat /proc/$$/cmdline > {shlex.quote(str(folder / ARGUMENTS))}\n"
        f'exec {shlex.quote(str(server))} "$@" --bind 127.0.0.1 --port {port}\n'
    )
    launcher.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "REDIS_PASSWORD": password}
    command = ["sh", "-c", REDIS_COMMAND.replace(REDIS_DATA, shlex.quote(str(folder)))]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def answer(port: int, password: str) -> bool | str:
    try:
        return client.Redis("127.0.0.1", port, password=password, retry=AT_ONCE).ping()
    except client.AuthenticationError as refused:
        return str(refused)
    except client.ConnectionError:
        return "nobody"


@pytest.mark.parametrize("password", PASSWORDS)
def test_redis_takes_the_password_that_the_secret_holds_and_shows_it_to_no_process(
    tmp_path: Path, password: str
) -> None:
    port = free_port()
    with started(tmp_path, port, password) as process:
        eventually(lambda: answer(port, password), expected=True)
        assert answer(port, password + "x") is not True
        title = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"redis-server" in title, "the shell is still the first process, and keeps signals to itself"
        assert password.encode() not in (tmp_path / ARGUMENTS).read_bytes() + title


def test_redis_ends_on_the_signal_that_ends_a_pod(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, port, "plain") as process:
        eventually(lambda: answer(port, "plain"), expected=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
