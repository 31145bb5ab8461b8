"""Interleaved measurements, and ratios of their medians.

A shared machine's speed changes from minute to minute. So the sides of a ratio take turns (A B A B), medians are
compared, and processor time is given beside wall time. Units: seconds.
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
class Lap:
    """One run of one command, with everything it started."""

    wall: float
    cpu: float
    said: str


@dataclass(frozen=True)
class Command:
    """What is timed."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]

    def lap(self) -> Lap:
        """Run it once. Raises CommandError with its tail when it fails."""
        with tempfile.TemporaryDirectory(prefix="bench-lap-") as folder:
            said, result = Path(folder) / "said", Path(folder) / "result"
            watch = [sys.executable, str(STOPWATCH), str(said), str(result), *self.argv]
            subprocess.run(watch, cwd=self.cwd, env=dict(self.env), check=False)
            text = said.read_text()
            found = json.loads(result.read_text())
        if found["status"] != 0:
            last = tail(text, LAST_LINES)
            raise CommandError(f"{' '.join(self.argv[:2])} ended with status {found['status']}:\n{last}")
        return Lap(found["wall"], found["cpu"], text)


@dataclass(frozen=True)
class Series:
    """The laps of one side, as numbers of one kind."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f}..{max(self.values):.2f})"


def interleaved(sides: Mapping[str, Callable[[], Result]], runs: int) -> Mapping[str, Sequence[Result]]:
    """`runs` laps of each side, in turns, after one of each that does not count."""
    for lap in sides.values():
        lap()
    laps: dict[str, list[Result]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, lap in sides.items():
            laps[name].append(lap())
    return laps


def cpu(laps: Sequence[Lap]) -> Series:
    return Series(tuple(lap.cpu for lap in laps))


def wall(laps: Sequence[Lap]) -> Series:
    return Series(tuple(lap.wall for lap in laps))


def body(laps: Sequence[Lap]) -> Series:
    """What a mocked program says of itself: the processor time after the interpreter and the SDK stood."""
    return Series(tuple(json.loads(lap.said.strip().splitlines()[-1])["body"] for lap in laps))
