"""How a run of the engine ends that does not end by itself; the CLI is a script, signals and pipes are real."""

import os
import signal
from pathlib import Path

import pytest

from common.paths import Paths
from local import engine
from local.engine import TIMED_OUT, Engine

LISTENS = 'trap "echo cancelled >> $PWD/words; exit 1" INT; while :; do sleep 0.05; done'
DEAF = 'trap "echo deaf >> $PWD/words" INT; while :; do sleep 0.05; done'


def cli(folder: Path, script: str) -> Engine:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Engine(program, Paths(folder), "/usr/bin:/bin", ())


def test_a_run_that_takes_too_long_is_cancelled_as_by_a_person(tmp_path: Path) -> None:
    assert cli(tmp_path, LISTENS).run("destroy", cwd=tmp_path, timeout=0.5) == TIMED_OUT
    assert (tmp_path / "words").read_text() == "cancelled\n", "the engine could not write down where it was"


def test_a_run_that_cannot_be_cancelled_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SIGNALS", ((signal.SIGINT, 0.3), (signal.SIGINT, 0.3), (signal.SIGKILL, 5.0)))
    assert cli(tmp_path, DEAF).run("destroy", cwd=tmp_path, timeout=0.5) == TIMED_OUT
    assert (tmp_path / "words").read_text() == "deaf\n" * 2, "it was not asked twice"


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_run_that_ends_in_time_hands_on_its_status(tmp_path: Path, timeout: float | None) -> None:
    assert cli(tmp_path, "exit 7").run("up", cwd=tmp_path, timeout=timeout) == 7


def test_what_a_run_is_condensed_to_is_shown_and_all_of_it_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f" +  docker-build:index:Image worker creating ({second}s) step" for second in range(5)]
    made = cli(tmp_path, "\n".join(f"echo '{row}'" for row in rows))
    assert made.run("up", cwd=tmp_path, condense=True) == 0
    assert capsys.readouterr().out.splitlines() == rows[:1]
    assert (made.paths.logs / "pulumi-up.log").read_text().splitlines() == rows


def test_a_process_of_the_engine_that_outlives_it_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.engine_output.CLOSE_SECONDS", 0.2)
    made = cli(tmp_path, "sleep 600 & echo $! > $PWD/child")
    try:
        assert made.run("up", cwd=tmp_path, condense=True) == 0
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
