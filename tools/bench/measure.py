"""Runs commands in turns, and measures their wall and processor time. Units: seconds.

A shared machine's speed changes from minute to minute. So the two commands of a ratio take turns (A B A B), medians
are compared, and processor time is given beside wall time.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.errors import CommandError
from common.tail import tail

STOPWATCH = Path(__file__).with_name("stopwatch.py")
LAST_LINES = 15
Result = TypeVar("Result")


@dataclass(frozen=True)
class Measurement:
    """One run of a command, with every process that it started."""

    wall: float
    cpu: float
    output: str


@dataclass(frozen=True)
class Command:
    """A command to measure."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]

    def measure(self) -> Measurement:
        """Run the command once. Raises CommandError with the end of its output when it fails."""
        with tempfile.TemporaryDirectory(prefix="bench-measure-") as folder:
            output, result = Path(folder) / "output", Path(folder) / "result"
            watch = [sys.executable, str(STOPWATCH), str(output), str(result), *self.argv]
            subprocess.run(watch, cwd=self.cwd, env=dict(self.env), check=False)
            text = output.read_text()
            found = json.loads(result.read_text())
        if found["status"] != 0:
            last = tail(text, LAST_LINES)
            raise CommandError(f"{' '.join(self.argv[:2])} ended with status {found['status']}:\n{last}")
        return Measurement(found["wall"], found["cpu"], text)


@dataclass(frozen=True)
class Series:
    """One number of each measurement of a command."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f}..{max(self.values):.2f})"


def interleaved(commands: Mapping[str, Callable[[], Result]], runs: int) -> Mapping[str, Sequence[Result]]:
    """Measure in turns, after a first run of each that is left out.

    Args:
        commands: what measures each command once, by name.
        runs: how often.

    Returns:
        The results by name.
    """
    for measure in commands.values():
        measure()
    measurements: dict[str, list[Result]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, measure in commands.items():
            measurements[name].append(measure())
    return measurements


def cpu(measurements: Sequence[Measurement]) -> Series:
    return Series(tuple(one.cpu for one in measurements))


def wall(measurements: Sequence[Measurement]) -> Series:
    return Series(tuple(one.wall for one in measurements))


def program_cpu(measurements: Sequence[Measurement]) -> Series:
    """Read the processor time that a program without an engine prints: without interpreter and SDK."""
    return Series(tuple(json.loads(one.output.strip().splitlines()[-1])["program_cpu"] for one in measurements))
