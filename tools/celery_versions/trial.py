"""Runs the runtime's tests with other releases of Celery, in an environment of their own that is removed afterwards.

It has the locked packages, and over them these releases with what they ask for beyond the lock: a release may need
another release of a package that the lock names too.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from common import paths
from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from tools.celery_versions.choice import Combination

PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")
SELECTION = ("-m", "redis and not engine and not cluster")  # as `make test-runtime` has it; a test compares
SIDE_BY_SIDE = ("-n", "6")  # they mostly wait
PATIENCE_SECONDS = 60.0  # for what a test started, once it is interrupted
LINES_SHOWN = 15
USUAL_INSTALL, USUAL_TESTS = "5 s, the first time 1 min", "4 min"

Status = Literal["passed", "failed", "not available"]


@dataclass(frozen=True)
class Outcome:
    """What became of one combination; `log` has all of it."""

    combination: Combination
    status: Status
    summary: str
    log: Path

    def __str__(self) -> str:
        return f"{self.combination}: {self.status} ({self.summary})"


@dataclass(frozen=True)
class Trials:
    """Tries combinations; `arguments` are pytest's, beside the selection."""

    checkout: paths.Paths
    progress: Progress
    arguments: Sequence[str] = ()
    uv: Path = field(default_factory=lambda: Path(sys.executable).with_name("uv"))

    def run(self, combination: Combination) -> Outcome:
        """Install the combination and run the tests with it.

        Raises:
            CommandError: the locked packages themselves could not be installed.
        """
        log = self.checkout.logs / f"celery-{'-'.join(map(str, combination.releases.values()))}.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("wb") as out, _temporary_folder() as folder:
            python = folder / "venv" / "bin" / "python"
            with self.progress.step(f"installing {combination}", usual=USUAL_INSTALL):
                installed = self._install(python, combination, log, out)
            if not installed:
                return Outcome(combination, "not available", "it cannot be installed", log)
            with self.progress.step(f"running the runtime's tests with {combination}", usual=USUAL_TESTS):
                status = self._run([python, *PYTEST, *SIDE_BY_SIDE, *SELECTION, *self.arguments], out)
        counts = _counts(log.read_text(errors="replace"))
        # All that were skipped, or none that were selected, would tell nothing.
        passed = status == 0 and re.search(r"\b[1-9]\d* passed", counts)
        return Outcome(combination, "passed" if passed else "failed", counts or f"pytest ended with {status}", log)

    def _install(self, python: Path, combination: Combination, log: Path, out: IO[bytes]) -> bool:
        install: list[str | Path] = [self.uv, "pip", "install", "--python", python]
        locked = self.checkout.checkout / "requirements-dev.txt"
        environment: list[str | Path] = [self.uv, "venv", "--python", sys.executable, python.parents[1]]
        packages = [*install, "--require-hashes", "--requirement", locked]
        for command in (environment, packages):
            if self._run(command, out) != 0:
                shown = tail(log.read_text(errors="replace"), LINES_SHOWN, indent="  ")
                raise CommandError(f"The locked packages could not be installed:\n{shown}\nAll of it: {log}.")
        pins = [f"{name}=={version}" for name, version in combination.releases.items()]
        return self._run([*install, *pins], out) == 0

    def _run(self, command: Sequence[str | Path], out: IO[bytes]) -> int:
        """Run a command to its end. It is interrupted as a terminal would do it, and may then clean up."""
        out.write(f"$ {' '.join(map(str, command))}\n".encode())
        out.flush()
        process = subprocess.Popen(
            command, cwd=self.checkout.checkout, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
        )
        try:
            return process.wait()
        except BaseException:
            # Workers under test have sessions of their own, and only the tests that started them end them.
            _signal(process, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)
            raise
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()


def failures(log: Path) -> str:
    """Return the lines of a log that say what failed, or its last ones."""
    lines = log.read_text(errors="replace").splitlines()
    failed = [line for line in lines if re.match(r"(FAILED|ERROR) \S", line)]  # Celery's own errors have more blanks
    return tail("\n".join(failed or lines), LINES_SHOWN, indent="      ")


def _counts(log: str) -> str:
    """Return what pytest counted, for instance `3 passed, 1 skipped in 2.10s`."""
    found = re.findall(
        r"^=* ?(\d+ (?:passed|failed|skipped|error|deselected|warning).* in [\d.]+s)\b", log, re.MULTILINE
    )
    return str(found[-1]) if found else ""


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Make a folder in the tool cache, where uv's own cache mostly is too: files are linked and not copied."""
    with tempfile.TemporaryDirectory(prefix="celery-", dir=paths.private_folder(paths.cache())) as folder:
        yield Path(folder)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
