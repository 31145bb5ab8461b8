"""Liveness and readiness: cheap, failing within the stated time, and not for the wrong reason."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alphaswarm_runtime.health.probe_files import ProbeFiles

from tests.images.runtime.harness import SOURCE, Fleet, Process, until


@pytest.fixture
def files(tmp_path: Path) -> ProbeFiles:
    files = ProbeFiles(tmp_path / "state", live_ttl=0.4, ready_ttl=0.2)
    files.reset()
    return files


def check(files: ProbeFiles, name: str) -> tuple[bool, str]:
    from alphaswarm_runtime.health import probe

    return probe.check(str(files.directory), name)


def test_a_process_that_has_not_started_is_neither_live_nor_ready(files: ProbeFiles) -> None:
    assert not check(files, "live")[0]
    assert "does not exist" in check(files, "ready")[1]


@pytest.mark.parametrize("arguments", [("probe", "live"), ("probe", "--", "live"), ("probe", "--", "ready")])
def test_a_probe_is_one_however_it_is_written(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alphaswarm_runtime", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "ALPHASWARM_STATE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"{arguments[-1]}: {tmp_path / arguments[-1]} does not exist (yet): " + (
        "the process has not started its work\n"
    )


def test_a_probe_fails_when_its_file_is_not_updated(files: ProbeFiles) -> None:
    files.mark_live()
    assert check(files, "live")[0]
    time.sleep(0.5)
    assert not check(files, "live")[0]
    assert "allowed are 0.4 s" in check(files, "live")[1]


def test_a_process_that_is_not_ready_says_why(files: ProbeFiles) -> None:
    files.mark_ready()
    assert check(files, "ready")[0]
    files.mark_not_ready("the broker does not answer")
    assert check(files, "ready") == (False, "ready: the broker does not answer")


def test_files_of_an_earlier_process_do_not_count(files: ProbeFiles) -> None:
    files.mark_live()
    files.reset()
    assert not check(files, "live")[0]


def test_a_probe_fails_on_a_file_from_before_a_reboot(files: ProbeFiles) -> None:
    (files.directory / "live").write_text(f"{time.monotonic() + 1000} 60 1 ")
    assert not check(files, "live")[0]


@pytest.mark.parametrize("text", ["", "1", "1 2", "x y 1 z"])
def test_a_probe_fails_on_a_damaged_file_without_a_traceback(files: ProbeFiles, text: str) -> None:
    (files.directory / "live").write_text(text)
    assert "cannot be read" in check(files, "live")[1]


def test_a_reader_never_sees_half_a_file(files: ProbeFiles) -> None:
    files.mark_live()
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            files.mark_live()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(check(files, "live")[0] for _ in range(500))
    finally:
        done.set()
        writer.join()


def test_a_probe_imports_neither_celery_nor_anything_else_that_is_slow(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['x', 'probe', 'live']; from alphaswarm_runtime.__main__ import main; main();"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "ALPHASWARM_STATE_DIR": str(tmp_path)}
    output = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    slow = {
        "celery",
        "kombu",
        "redis",
        "argparse",
        "logging",
        "json",
        "dataclasses",
        "importlib_metadata",
        "prometheus_client",
    }
    assert not [name for name in slow if f"'{name}'" in output.stdout]


def ttl(worker: Process, name: str) -> float:
    """How many seconds the worker's last update is valid for; a hung process cannot extend them."""
    return float((Path(worker.environ["ALPHASWARM_STATE_DIR"]) / name).read_text().split()[1])


# Celery sends this signal from the event loop. The rest of the process goes on meanwhile, as with a lock that nobody
# gives back: an update by anything but the loop would hide it.
HANGS = """
import time
from pathlib import Path
from celery import signals
from sample import app

@signals.task_received.connect(weak=False)
def hang(**_more):
    while Path("hanging").exists():
        time.sleep(0.1)
"""


@pytest.mark.redis
def test_a_hung_event_loop_fails_both_probes_within_the_stated_time(fleet: Fleet) -> None:
    hanging = fleet.folder / "hanging"
    (fleet.folder / "hangs.py").write_text(HANGS)
    worker = fleet.worker(CELERY_APP="hangs")
    assert worker.probe_succeeds("live")
    hanging.touch()
    sent = fleet.send("note", "hang")
    began = time.monotonic()
    until(lambda: not worker.probe_succeeds("ready"), "readiness fails")
    unready = time.monotonic() - began
    until(lambda: not worker.probe_succeeds("live"), "liveness fails")
    print(
        f"heartbeat 1 s: readiness fails after {unready:.1f} s (stated 3), "
        f"liveness fails after {time.monotonic() - began:.1f} s (stated 12)"
    )
    assert (ttl(worker, "ready"), ttl(worker, "live")) == (3, 12)
    hanging.unlink()
    until(lambda: worker.probe_succeeds("live") and worker.probe_succeeds("ready"), "it recovers by itself")
    assert sent.get() == "hang"


@pytest.mark.redis
def test_a_lost_broker_fails_readiness_within_the_stated_time_and_liveness_never(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.server.stop()
    began = time.monotonic()
    until(lambda: not worker.probe_succeeds("ready"), "readiness fails")
    print(f"heartbeat 1 s: readiness fails {time.monotonic() - began:.1f} s after the broker went (stated 3)")
    assert ttl(worker, "ready") == 3
    until(lambda: time.monotonic() - began > 14 or not worker.probe_succeeds("live"), "14 s pass")
    assert worker.probe_succeeds("live"), "a pod would be restarted because its broker is away"
    fleet.server.start()
    until(lambda: worker.probe_succeeds("ready"), "it recovers by itself")


@pytest.mark.redis
def test_a_broker_that_hangs_does_not_hang_the_worker(fleet: Fleet) -> None:
    worker = fleet.worker(ALPHASWARM_HEARTBEAT="3")
    fleet.server.pause()
    began = time.monotonic()
    until(lambda: not worker.probe_succeeds("ready"), "readiness fails")
    print(f"heartbeat 3 s: readiness fails {time.monotonic() - began:.1f} s after the broker hung (stated 9)")
    oldest = 0.0
    while time.monotonic() - began < 40:
        at, allowed = (Path(worker.environ["ALPHASWARM_STATE_DIR"]) / "live").read_text().split()[:2]
        oldest = max(oldest, time.monotonic() - float(at))
        time.sleep(0.2)
    print(f"longest silence of the event loop {oldest:.1f} s (allowed {allowed})")
    assert worker.probe_succeeds("live")
    fleet.server.resume()
    until(lambda: worker.probe_succeeds("ready"), "it recovers by itself")
    assert fleet.send("note", "after").get() == "after"
