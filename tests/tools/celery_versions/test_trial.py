"""What becomes of a combination, with a uv that makes an environment whose Python only pretends to run tests."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.version import Version

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from tools.celery_versions.__main__ import exit_status
from tools.celery_versions.choice import Combination
from tools.celery_versions.trial import Outcome, Status, Trials, failures

ROOT = Path(__file__).parents[3]
RELEASE = Combination({"celery": Version("5.7.0"), "kombu": Version("5.7.1")})
PRERELEASE = Combination({"celery": Version("5.8.0rc1"), "kombu": Version("5.7.1")})
UV = """#!/bin/sh
echo "$@" >> {asked}
case "$*" in
    *{fails}*) echo "there is no such version" >&2; exit 1 ;;
    venv*) for last; do :; done; mkdir -p "$last/bin"; cp {python} "$last/bin/python" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout, and commands that stand in for uv and for the tests."""

    folder: Path

    def trials(self, tests: str, *arguments: str, fails: str = "NOTHING") -> Trials:
        for name, text in (
            ("python", f'#!/bin/sh\necho "$@" >> {self.folder}/tested\n{tests}\n'),
            ("uv", UV.format(asked=self.folder / "asked", fails=fails, python=self.folder / "python")),
        ):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        return Trials(Paths(self.folder), Progress(io.StringIO()), arguments, self.folder / "uv")

    def noted(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines()

    @property
    def left_over(self) -> list[Path]:
        return list((self.folder / "cache").iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("ALPHASWARM_CACHE", str(tmp_path / "cache"))
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("tests", "status", "summary"),
    [
        ("echo '=== 3 passed, 1 skipped in 2.10s ==='", "passed", "3 passed, 1 skipped in 2.10s"),
        ("echo '=== 130 passed in 212.30s (0:03:32) ==='", "passed", "130 passed in 212.30s"),
        ("echo '1 failed, 2 passed in 2.10s'; exit 1", "failed", "1 failed, 2 passed in 2.10s"),
        ("echo '=== 9 skipped in 2.10s ==='", "failed", "9 skipped in 2.10s"),
        ("echo '=== no tests ran in 0.10s ==='; exit 5", "failed", "pytest ended with 5"),
        ("echo '=== 3 passed in 2.10s ==='; exit 3", "failed", "3 passed in 2.10s"),
    ],
    ids=["passed", "for minutes", "failed", "all skipped", "none selected", "ended by something else"],
)
def test_a_combination_passes_only_if_tests_ran_and_none_failed(
    machine: Machine, tests: str, status: str, summary: str
) -> None:
    outcome = machine.trials(tests).run(RELEASE)
    assert (outcome.status, outcome.summary) == (status, summary)
    assert str(outcome) == f"celery 5.7.0, kombu 5.7.1: {status} ({summary})"
    assert machine.left_over == [], "300 MB stay for each version"


def test_the_locked_packages_come_first_and_the_releases_over_them(machine: Machine) -> None:
    machine.trials("echo '1 passed in 1.0s'", "-k", "priorities").run(RELEASE)
    made, locked, released = machine.noted("asked")
    assert made.startswith(f"venv --python {sys.executable} {machine.folder}/cache/celery-")
    assert f"--require-hashes --requirement {machine.folder}/requirements-dev.txt" in locked
    assert released.endswith("/venv/bin/python celery==5.7.0 kombu==5.7.1")
    (tested,) = machine.noted("tested")
    assert tested.endswith("-m redis and not engine and not cluster -k priorities")


def test_a_release_that_cannot_be_installed_is_not_available(machine: Machine) -> None:
    outcome = machine.trials("exit 0", fails="celery==5.7.0").run(RELEASE)
    assert outcome.status == "not available"
    assert "there is no such version" in failures(outcome.log)
    assert not (machine.folder / "tested").exists()
    assert machine.left_over == []


def test_locked_packages_that_cannot_be_installed_are_no_fault_of_a_release(machine: Machine) -> None:
    with pytest.raises(CommandError, match=r"The locked packages could not be installed:\n(.*\n)*  there is no such"):
        machine.trials("exit 0", fails="--require-hashes").run(RELEASE)


def test_what_failed_is_shown_before_anything_else_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "FAILED tests/a.py::one - assert 1\nERROR    celery.beat:beat.py:1 much else\n" * 2
        + "ERROR tests/b.py\n== 2 failed in 1.0s ==\n"
    )
    assert failures(log).split("\n") == [
        "      FAILED tests/a.py::one - assert 1",
        "      FAILED tests/a.py::one - assert 1",
        "      ERROR tests/b.py",
    ]


@pytest.mark.parametrize(
    ("release", "prerelease", "pre_may_fail", "status"),
    [
        ("passed", "passed", False, 0),
        ("passed", "failed", False, 1),
        ("passed", "failed", True, 0),
        ("passed", "not available", True, 0),
        ("failed", "passed", True, 1),
        ("not available", "passed", True, 1),
    ],
)
def test_a_release_must_pass_and_a_prerelease_may_be_let_off(
    release: Status, prerelease: Status, pre_may_fail: bool, status: int
) -> None:
    outcomes = [Outcome(RELEASE, release, "", Path()), Outcome(PRERELEASE, prerelease, "", Path())]
    assert exit_status(outcomes, pre_may_fail=pre_may_fail) == status


@contextlib.contextmanager
def process_of(trials: Trials) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that tries the release."""
    script = (
        "import sys; from pathlib import Path; from packaging.version import Version\n"
        "from common.exit_status import as_exit_status; from common.paths import Paths\n"
        "from common.progress import Progress; from tools.celery_versions.choice import Combination\n"
        "from tools.celery_versions.trial import Trials\n"
        "folder = Path(sys.argv[1])\n"
        "with as_exit_status(interrupted='Interrupted.'):\n"
        "    Trials(Paths(folder), Progress(), (), folder / 'uv').run(Combination({'celery': Version('5.7.0')}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, trials.checkout.checkout],
        cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_interrupt_lets_the_tests_clean_up_and_leaves_nothing(machine: Machine) -> None:
    cleaning = f"trap 'echo cleaned >> {machine.folder}/cleaned; exit 2' INT; touch {machine.folder}/runs"
    with process_of(machine.trials(f"{cleaning}; while :; do sleep 0.05; done")) as process:
        deadline = time.monotonic() + 60
        while not (machine.folder / "runs").exists():
            assert time.monotonic() < deadline, "the tests did not start"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().endswith("\nInterrupted.\n")
    assert machine.noted("cleaned") == ["cleaned"], (
        "workers and servers under test would stay, in sessions of their own"
    )
    assert machine.left_over == []
