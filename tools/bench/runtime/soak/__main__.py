"""Disturbs workers at random while tasks run, and counts: `python -m tools.bench.runtime.soak --help`.

The ledger is a file that the tasks themselves write, every 20 ms. A task is lost if it never ends, doubled if it ends
twice (a worker that is killed between a task's end and its acknowledgement), and two runs overlap if the second began
while the first still wrote. All processes of a machine share the clock.

Exit status: 0 nothing was lost and nothing overlapped, 1 something was, 64 the command line is wrong, 130 interrupted.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from celery import Celery

from common.exit_status import as_exit_status
from tools.bench.runtime.server import Server, server
from tools.bench.runtime.soak import worker
from tools.bench.runtime.soak.ledger import Disturbance, Ledger, summary
from tools.bench.runtime.workers import QUEUE

PRIORITIES = (0, 0, 0, 3, 6, 9)
MAX_COUNTDOWN = 8.0  # seconds
SHORT, LONG = 0.02, (1.0, 4.0)  # seconds that a task runs; one in `--long` is long
RESTART = "restart"
KINDS = ("kill", "terminate", "stop", "cut", "hang", RESTART)
SHOWN = 5  # overlaps
GIVE_UP = 300.0  # seconds without the end of any task


class Soak:
    """One soak."""

    def __init__(self, server: Server, folder: Path, options: argparse.Namespace) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.ledger.file.touch()
        self.disturbances: list[Disturbance] = []
        self._server = server
        self._folder = folder
        self._options = options
        self._started = 0
        self._random = random.Random(options.seed)  # noqa: S311 chance, and no secret
        self._workers = [self._start() for _ in range(options.workers)]

    def run(self) -> None:
        """Send the tasks, and disturb a worker every so many seconds until all have ended."""
        tasks = self._options.tasks
        self._send(tasks)
        began = told_at = progress_at = time.monotonic()
        before = -1
        while len(self.ledger.ended) < tasks and time.monotonic() - progress_at < GIVE_UP:
            time.sleep(self._random.uniform(0.5, 1.5) * self._options.every)
            self._disturb()
            self._restore()
            self.ledger.read()
            if len(self.ledger.ended) != before:
                before, progress_at = len(self.ledger.ended), time.monotonic()
            if time.monotonic() - told_at >= 10:
                told_at = time.monotonic()
                print(f"  {before} of {tasks} ended after {told_at - began:.0f} s", flush=True)
        time.sleep(worker.SILENCE)  # what overlaps with the last runs is written by then
        self.ledger.read()

    def close(self) -> None:
        """End all workers."""
        for each in self._workers:
            each.kill()

    def report(self) -> bool:
        """Print the figures; False where a task was lost, or two runs of one overlapped."""
        lost, overlaps = self.ledger.lost(self._options.tasks), self.ledger.overlaps()
        print(f"tasks {self._options.tasks}, disturbances {len(self.disturbances)}")
        print(f"lost {len(lost)}, ended twice {len(self.ledger.doubled())}, overlapping runs {len(overlaps)}", end="")
        print(f", for up to {max(overlap.seconds for overlap in overlaps):.3f} s" if overlaps else "")
        for overlap in overlaps[:SHOWN]:
            print("  " + overlap.story(self.disturbances))
        waits = self.ledger.waits(self.disturbances)
        for kind in KINDS:
            count = sum(disturbance.kind == kind for disturbance in self.disturbances)
            started = waits.get(kind, [])
            print(f"  {kind:<10} {count:>5} times, {len(started):>5} tasks started again: {summary(started)}")
        return not lost and not overlaps

    def _send(self, tasks: int) -> None:
        app = Celery("sender", broker=self._server.url, set_as_current=False)
        with app.producer_or_acquire() as producer:
            for number in range(tasks):
                options: dict[str, object] = {"priority": self._random.choice(PRIORITIES)}
                if self._random.random() < 0.1:
                    options["countdown"] = self._random.uniform(0.1, MAX_COUNTDOWN)
                is_long = self._random.random() < self._options.long
                seconds = self._random.uniform(*LONG) if is_long else SHORT
                app.send_task("soak.run", (number, seconds), queue=QUEUE, producer=producer, **options)

    def _disturb(self) -> None:
        kind = self._random.choice(self._options.kinds)
        chosen = self._random.choice(self._workers)
        if chosen.continue_at is not None:
            return
        group = None if kind == RESTART else chosen.group
        self.disturbances.append(Disturbance(kind, group, time.monotonic()))
        if kind == RESTART:
            self._server.restart()
        else:
            getattr(chosen, kind)()

    def _restore(self) -> None:
        for each in self._workers:
            each.go_on()
        self._workers = [each if each.is_alive else self._start() for each in self._workers]

    def _start(self) -> worker.Worker:
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        skew = self._random.uniform(-self._options.skew, self._options.skew)
        return worker.start(self._server, self.ledger.file, folder, skew)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.runtime.soak", description="Disturb workers while tasks run, and count the tasks."
    )
    parser.add_argument("--tasks", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--workers", type=int, default=4, help="how many at a time, of 2 tasks each (default: 4)")
    parser.add_argument("--every", type=float, default=1.5, help="seconds between two disturbances (default: 1.5)")
    parser.add_argument("--long", type=float, default=0.02, help="share of tasks that run 1 to 4 s (default: 0.02)")
    parser.add_argument("--skew", type=float, default=0.0, help="seconds that wall clocks differ; needs faketime")
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default: 1)")
    parser.add_argument(
        "--kinds", type=_kinds, default=list(KINDS), help=f"separated by commas (default: {','.join(KINDS)})"
    )
    options = parser.parse_args(arguments)
    if options.skew and shutil.which("faketime") is None:
        parser.exit(os.EX_USAGE, "--skew needs the command faketime: apt-get install faketime\n")
    return options


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the kinds are {', '.join(KINDS)}")
    return kinds


def main(arguments: Sequence[str]) -> bool:
    """Run the soak; False where a task was lost, or two runs of one overlapped."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "redis").mkdir()
        with server(Path(folder) / "redis", fsync="always") as redis:
            soak = Soak(redis, Path(folder), options)
            try:
                soak.run()
            finally:
                soak.close()
            return soak.report()


if __name__ == "__main__":
    with as_exit_status(interrupted="Interrupted."):
        sys.exit(0 if main(sys.argv[1:]) else 1)
