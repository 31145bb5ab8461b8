"""Kills workers at random while tasks run, and counts: `python -m tools.bench.runtime.soak [--tasks N] [--workers N]`.

The ledger is kept outside the broker's database, by the tasks themselves: a line when a task starts, and one when it
ends. A task is lost if it never ends, doubled if it ends twice, and two runs overlap if the second begins before the
first has ended, or its worker was killed or stopped. All processes of a machine share the clock.

Exit status: 0 nothing was lost and nothing overlapped, 1 something was, 130 interrupted.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from celery import Celery

from common.exit_status import as_exit_status
from tools.bench.runtime.server import Server, server
from tools.bench.runtime.workers import FLEET, QUEUE, command, environment

LEASE = 6  # seconds
MAX_COUNTDOWN = 8.0  # seconds
PRIORITIES = (0, 0, 0, 3, 6, 9)


@dataclass
class Run:
    """One start of a task: when, by which worker's process group, and when it ended; None when it did not."""

    started_at: float
    group: int
    ended_at: float | None = None


@dataclass
class Ledger:
    """What became of every task, by its number."""

    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    due: dict[int, float] = field(default_factory=dict)
    stops: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each worker, by its process group, was killed or stopped."""

    def read(self, server: Server) -> None:
        """Read the lines that the tasks wrote."""
        self.runs.clear()
        for line in server.client(server.starts_url).lrange("soak", 0, -1):
            what, number, at, group = line.decode().split()
            if what == "start":
                self.runs[int(number)].append(Run(float(at), int(group)))
            else:
                open_runs = [run for run in self.runs[int(number)] if run.group == int(group) and run.ended_at is None]
                open_runs[-1].ended_at = float(at)

    @property
    def ended(self) -> int:
        """How many tasks have ended."""
        return sum(any(run.ended_at is not None for run in runs) for runs in self.runs.values())

    def overlapping(self) -> int:
        """Count runs that began while another run of the same task was under way."""
        count = 0
        for runs in self.runs.values():
            ordered = sorted(runs, key=lambda run: run.started_at)
            for first, second in pairwise(ordered):
                count += self.end_of(first) > second.started_at
        return count

    def end_of(self, run: Run) -> float:
        """Return when a run ended, or its worker was killed or stopped."""
        if run.ended_at is not None:
            return run.ended_at
        return min((at for at in self.stops[run.group] if at >= run.started_at), default=float("inf"))

    def report(self, tasks: int) -> bool:
        """Print the figures; False where a task was lost, or two runs of one overlapped."""
        lost = [number for number in range(tasks) if not any(run.ended_at for run in self.runs.get(number, ()))]
        doubled = [number for number, runs in self.runs.items() if sum(run.ended_at is not None for run in runs) > 1]
        again = [number for number, runs in self.runs.items() if len(runs) > 1]
        late = [
            runs[0].started_at - self.due[number]
            for number, runs in self.runs.items()
            if number in self.due and len(runs) == 1
        ]
        waits = [
            second.started_at - self.end_of(first)
            for runs in self.runs.values()
            for first, second in pairwise(runs)
            if first.ended_at is None
        ]
        overlapping = self.overlapping()
        deaths = sum(len(times) for times in self.stops.values())
        print(f"tasks {tasks}, workers killed or stopped {deaths}, tasks started again {len(again)}")
        print(f"lost {len(lost)}, ended twice {len(doubled)}, overlapping runs {overlapping}")
        if len(waits) > 1:
            quantiles = statistics.quantiles(waits, n=100)
            print(f"seconds from a death to the second start: median {quantiles[49]:.1f}, p99 {quantiles[98]:.1f}")
        if len(late) > 1:
            quantiles = statistics.quantiles(late, n=100)
            median, p99 = quantiles[49], quantiles[98]
            print(f"seconds late with a countdown, behind all that wait: median {median:.2f}, p99 {p99:.2f}")
        return not lost and not overlapping


class Soak:
    """One soak with `workers` workers of two tasks each."""

    def __init__(self, server: Server, folder: Path, workers: int) -> None:
        self.ledger = Ledger()
        self._server = server
        self._folder = folder
        self._started = 0
        self._random = random.Random(workers)  # noqa: S311 chance, and no secret
        self._workers = [self._start() for _ in range(workers)]
        self._stopped: dict[int, float] = {}  # process group to when it may go on

    def run(self, tasks: int, every: float) -> None:
        """Send the tasks, and do something to a worker every so many seconds until all have ended."""
        self._send(tasks)
        began = time.monotonic()
        quiet_after = began + 3600
        while self.ledger.ended < tasks and time.monotonic() < quiet_after:
            time.sleep(self._random.uniform(0.5, 1.5) * every)
            self._disturb(self._random.choice(self._workers))
            self._continue()
            self.ledger.read(self._server)
            print(f"  {self.ledger.ended} of {tasks} ended after {time.monotonic() - began:.0f} s", flush=True)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            self._kill(worker)

    def _send(self, tasks: int) -> None:
        app = Celery("sender", broker=self._server.url, set_as_current=False)
        with app.producer_or_acquire() as producer:
            for number in range(tasks):
                options: dict[str, object] = {"priority": self._random.choice(PRIORITIES)}
                if self._random.random() < 0.2:
                    options["countdown"] = self._random.uniform(0.1, MAX_COUNTDOWN)
                    self.ledger.due[number] = time.monotonic() + float(str(options["countdown"]))
                app.send_task("bench.soak", (number,), queue=QUEUE, producer=producer, **options)

    def _disturb(self, worker: "subprocess.Popen[bytes]") -> None:
        what = self._random.random()
        if worker.pid in self._stopped:
            return
        if what < 0.6:
            self.ledger.stops[worker.pid].append(time.monotonic())
            self._kill(worker)
        elif what < 0.8:
            self.ledger.stops[worker.pid].append(time.monotonic())
            os.killpg(worker.pid, signal.SIGSTOP)
            self._stopped[worker.pid] = time.monotonic() + LEASE + 3
            return
        else:
            worker.terminate()
            worker.wait()
        self._workers.remove(worker)
        self._workers.append(self._start())

    def _continue(self) -> None:
        for group, until in list(self._stopped.items()):
            if time.monotonic() >= until:
                os.killpg(group, signal.SIGCONT)
                del self._stopped[group]

    def _kill(self, worker: "subprocess.Popen[bytes]") -> None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        leases = {
            "ALPHASWARM_LEASE": str(LEASE),
            "ALPHASWARM_RESTORE_INTERVAL": "1",
            "ALPHASWARM_MAX_DELIVERIES": "1000",
        }
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                command(FLEET, 2),
                env={**environment(self._server, folder), **leases, "ALPHASWARM_MAX_DELIVERIES": "1000"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def main() -> bool:
    """Run the soak; False where a task was lost, or two runs of one overlapped."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.runtime.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tasks", type=int, default=100_000, help="how many (default: 100000, about an hour)")
    parser.add_argument("--workers", type=int, default=4, help="how many at a time (default: 4)")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two deaths (default: 4)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "redis").mkdir()
        with server(Path(folder) / "redis") as redis:
            soak = Soak(redis, Path(folder), options.workers)
            try:
                soak.run(options.tasks, options.every)
                soak.ledger.read(redis)
            finally:
                soak.close()
            return soak.ledger.report(options.tasks)


if __name__ == "__main__":
    with as_exit_status(interrupted="Interrupted."):
        sys.exit(0 if main() else 1)
