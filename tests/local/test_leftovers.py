import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.leftovers import end_build_steps, end_processes_with, unmount_within
from local.processes import start_time

NAME, VALUE = "ALPHASWARM_TEST_BACKEND", "file:///somewhere/pulumi"
SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)",
]


@pytest.fixture
def begun() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def begin(begun: list["subprocess.Popen[bytes]"], command: list[str], **env: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE)
    begun.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"awake\n"
    return process


def test_an_engine_that_outlived_its_command_is_ended_and_that_of_another_checkout_is_not(
    begun: list["subprocess.Popen[bytes]"],
) -> None:
    ours, theirs = begin(begun, SLEEPER, **{NAME: VALUE}), begin(begun, SLEEPER, **{NAME: VALUE + "-other"})
    end_processes_with(NAME, VALUE)
    assert ours.poll() == -signal.SIGINT, "it could not write down where it was"
    assert theirs.poll() is None


def test_an_engine_that_does_not_listen_is_killed(begun: list["subprocess.Popen[bytes]"]) -> None:
    deaf = begin(begun, DEAF, **{NAME: VALUE})
    end_processes_with(NAME, VALUE, patience=0.2)
    assert deaf.poll() == -signal.SIGKILL


@pytest.mark.parametrize("lag", [0, -1], ids=["the same process", "a later one of that number"])
def test_a_build_step_is_ended_by_its_record_and_a_stranger_of_its_number_is_not(
    tmp_path: Path, begun: list["subprocess.Popen[bytes]"], lag: int
) -> None:
    step = begin(begun, SLEEPER)
    started = start_time(step.pid)
    assert started is not None
    record = tmp_path / "runc-overlayfs" / "executor" / "runc" / "abc" / "state.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"init_process_pid": step.pid, "init_process_start": started + lag}))
    end_build_steps(tmp_path)
    assert (step.poll() is not None) is (lag == 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_mounts_below_the_folder_are_gone_and_the_folder_can_be_removed(tmp_path: Path) -> None:
    outer, beside = tmp_path / "state" / "with space", tmp_path / "state-of-another"
    inner = outer / "inner"
    outer.mkdir(parents=True)
    beside.mkdir()
    try:
        for point in (outer, inner, beside):
            point.mkdir(exist_ok=True)
            made = subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True, check=False)
            if made.returncode:
                pytest.skip("this container may not mount")
        unmount_within(tmp_path / "state")
        assert not outer.is_mount()
        assert beside.is_mount(), "what is another folder's was unmounted"
    finally:
        for point in (inner, outer, beside):
            subprocess.run(["umount", point], capture_output=True, check=False)
