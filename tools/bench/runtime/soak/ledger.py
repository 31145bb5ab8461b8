"""What became of every task, from the lines that its runs wrote."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass
class Run:
    """One start of a task, by a process of a worker's process group; times are seconds of CLOCK_MONOTONIC."""

    group: int
    started_at: float
    seen_at: float
    ended: bool = False


@dataclass(frozen=True)
class Disturbance:
    """What was done to a worker; `group` is its process group, and None means all of them."""

    kind: str
    group: int | None
    at: float


@dataclass(frozen=True)
class Overlap:
    """Two runs of one task that were under way at once."""

    task: int
    first: Run
    second: Run

    @property
    def seconds(self) -> float:
        """For how long."""
        return self.first.seen_at - self.second.started_at

    def story(self, disturbances: Iterable[Disturbance]) -> str:
        """Return what happened to either worker shortly before, to look into it."""
        began = self.second.started_at
        told = [f"task {self.task}: {self.seconds:.3f} s at once"]
        for name, run in (("first", self.first), ("second", self.second)):
            near = [one for one in disturbances if one.group in (None, run.group) and -30 < one.at - began < 10]
            done = ", ".join(f"{one.kind} {one.at - began:+.1f}" for one in near) or "nothing"
            told.append(f"{name} run in group {run.group} from {run.started_at - began:+.2f} s; before: {done}")
        return "\n    ".join(told)


@dataclass
class Ledger:
    """The runs of every task, by its number. It reads a file that grows."""

    file: Path
    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    ended: set[int] = field(default_factory=set)
    _offset: int = 0
    _open: dict[tuple[int, int], Run] = field(default_factory=dict)

    def read(self) -> None:
        """Read what was written since the last time."""
        with self.file.open("rb") as lines:
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._add(line.decode())

    def _add(self, line: str) -> None:
        what, number, pid, group, at = line.split()
        key = int(number), int(pid)
        if what == "start":
            self._open[key] = Run(int(group), float(at), float(at))
            self.runs[int(number)].append(self._open[key])
            return
        run = self._open[key]
        run.seen_at = float(at)
        if what == "end":
            run.ended = True
            self.ended.add(int(number))
            del self._open[key]

    def lost(self, tasks: int) -> list[int]:
        """Return the tasks that never ended."""
        return [number for number in range(tasks) if number not in self.ended]

    def doubled(self) -> list[int]:
        """Return the tasks that ended more than once."""
        return [number for number, runs in self.runs.items() if sum(run.ended for run in runs) > 1]

    def overlaps(self) -> list[Overlap]:
        """Return each two runs of one task that were under way at once."""
        return [
            Overlap(number, first, second)
            for number, runs in self.runs.items()
            for first, second in pairwise(sorted(runs, key=lambda run: run.started_at))
            if first.seen_at > second.started_at
        ]

    def waits(self, disturbances: Iterable[Disturbance]) -> dict[str, list[float]]:
        """Return the seconds from what ended a run to the task's next start, by kind of disturbance."""
        found = defaultdict(list)
        ordered = sorted(disturbances, key=lambda disturbance: disturbance.at)
        for first, second in self._runs_and_next():
            # The last one before the next start: a worker that hangs is disturbed before it ends its runs, and one that
            # is killed at the same moment.
            causes = [cause for cause in ordered if cause.group in (None, first.group) and cause.at < second.started_at]
            if causes:
                found[causes[-1].kind].append(second.started_at - causes[-1].at)
        return found

    def _runs_and_next(self) -> Iterator[tuple[Run, Run]]:
        for runs in self.runs.values():
            for first, second in pairwise(sorted(runs, key=lambda run: run.started_at)):
                if not first.ended:
                    yield first, second


def summary(seconds: list[float]) -> str:
    """Return the median and the 99th percentile."""
    if len(seconds) < 2:
        return "too few to say"
    quantiles = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"median {quantiles[49]:.1f} s, p99 {quantiles[98]:.1f} s, longest {max(seconds):.1f} s"
