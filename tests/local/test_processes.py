import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import CommandError
from local.processes import Daemon, interrupt_children, start_time

SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)",
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("sleeper", tmp_path / "run", tmp_path / "logs")
    yield made
    made.stop(patience=0.0)


def awake(daemon: Daemon) -> bool:
    return daemon.log.exists() and "awake" in daemon.log.read_text()


def test_a_daemon_is_found_again_by_a_later_command(daemon: Daemon) -> None:
    daemon.start(SLEEPER)
    later = Daemon(daemon.name, daemon.run, daemon.logs)
    assert later.alive()
    assert later.pid() == daemon.pid()


def test_starting_a_running_daemon_leaves_it_alone(daemon: Daemon) -> None:
    daemon.start(SLEEPER)
    first = daemon.pid()
    daemon.start(SLEEPER)
    assert daemon.pid() == first


def test_a_process_that_reuses_the_pid_is_neither_ours_nor_ended(daemon: Daemon) -> None:
    stranger = subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL)
    try:
        daemon.run.mkdir(parents=True)
        begun = start_time(stranger.pid)
        assert begun is not None
        daemon.pid_file.write_text(json.dumps({"pid": stranger.pid, "started": begun - 1}))
        assert not daemon.alive(), "somebody else's process is taken for our server"
        daemon.stop()
        assert stranger.poll() is None, "somebody else's process was ended"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_daemon_that_ends_while_starting_shows_the_end_of_its_log(daemon: Daemon) -> None:
    with pytest.raises(CommandError, match="no such flag") as raised:
        daemon.start([sys.executable, "-c", "raise SystemExit('no such flag')"], ready=lambda: False)
    assert str(daemon.log) in str(raised.value)


def test_a_daemon_that_never_gets_ready_is_not_left_behind(daemon: Daemon) -> None:
    with pytest.raises(CommandError, match="was not ready within"):
        daemon.start(SLEEPER, ready=lambda: False, within=0.2)
    assert not daemon.alive()


def test_a_daemon_that_ignores_term_is_ended_all_the_same(daemon: Daemon) -> None:
    daemon.start(DEAF, ready=lambda: awake(daemon))
    pid = daemon.pid()
    assert pid is not None
    daemon.stop(patience=0.2)
    assert start_time(pid) is None


def test_a_broken_pid_file_counts_as_no_server(daemon: Daemon) -> None:
    daemon.run.mkdir(parents=True)
    daemon.pid_file.write_text('{"pid": 1')
    assert not daemon.alive()


def test_an_interrupt_is_handed_to_what_runs_for_us_and_not_to_servers(daemon: Daemon) -> None:
    daemon.start(SLEEPER, ready=lambda: awake(daemon))
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as helper:
        assert helper.stdout is not None
        helper.stdout.readline()
        interrupt_children()
        assert helper.wait(10) == -signal.SIGINT
    assert daemon.alive()
