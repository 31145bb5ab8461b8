"""Measures what the runtime costs, as ratios to a bare Celery worker: `python -m tools.bench.runtime [--quick]`.

Both have late acknowledgement and a prefetch of one. Nothing is asserted: a shared machine is no judge.
Exit status: 0 measured, 1 could not be measured, 130 interrupted.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.exit_status import as_exit_status
from tools.bench.runtime.requests import counted_requests
from tools.bench.runtime.server import Server, server
from tools.bench.runtime.workers import BARE, FLEET, RUNTIME, send, worker

T = TypeVar("T")

THROUGHPUT_AIM, LATENCY_AIM = 0.95, 1.1
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Bench:
    """One run of the bench; `tasks` are sent at a time, `rounds` times for each kind of worker."""

    folder: Path
    tasks: int
    rounds: int

    def throughput(self, concurrency: int) -> None:
        """Measure tasks a second, of many that are sent at once."""
        values = self._rounds(concurrency, self._tasks_a_second)
        self._line(f"tasks a second at concurrency {concurrency}", values, THROUGHPUT_AIM)

    def latency(self, pause: float, label: str) -> None:
        """Measure the time from sending to starting."""
        rounds = self._rounds(4, lambda server: self._latencies(server, pause))
        for percent in (50, 99):
            values = {kind: [_percentile(latencies, percent) for latencies in found] for kind, found in rounds.items()}
            self._line(f"send to start, p{percent}, {label}", values, LATENCY_AIM, unit="ms", scale=1000)

    def requests(self) -> None:
        """Count requests to Redis, for each task and for each idle second."""
        self._line("requests a task", self._rounds(4, self._requests_a_task))
        self._line("requests an idle second", self._rounds(4, _requests_an_idle_second))

    def memory(self) -> None:
        """Measure the parent process after some tasks."""
        values: dict[str, list[float]] = {FLEET: [], BARE: []}
        for kind, found in values.items():
            with server(self._new_folder()) as redis, worker(kind, redis, self._new_folder(), 4) as pid:
                send(redis, self.tasks)
                _wait(redis, self.tasks)
                status = Path(f"/proc/{pid}/status").read_text()
                found.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        self._line("memory of the parent", values, unit="MiB")

    def probe(self) -> None:
        """Measure a probe against the bare interpreter."""
        commands = {FLEET: ["-m", "alphaswarm_runtime", "probe", "live"], BARE: ["-c", "pass"]}
        values: dict[str, list[float]] = {FLEET: [], BARE: []}
        for _ in range(10):
            for kind, command in commands.items():
                began = time.perf_counter()
                environ = {"PYTHONPATH": str(RUNTIME), "ALPHASWARM_STATE_DIR": str(self.folder)}
                subprocess.run([sys.executable, *command], env=environ, capture_output=True, check=False)
                values[kind].append(time.perf_counter() - began)
        self._line("a probe / an interpreter that does nothing", values, unit="ms", scale=1000)

    def _rounds(self, concurrency: int, measure: Callable[[Server], T]) -> dict[str, list[T]]:
        """Measure both kinds in turn, so that a slow minute of the machine meets both."""
        found: dict[str, list[T]] = {FLEET: [], BARE: []}
        for _ in range(self.rounds):
            for kind, values in found.items():
                with server(self._new_folder()) as redis, worker(kind, redis, self._new_folder(), concurrency):
                    values.append(measure(redis))
        return found

    def _tasks_a_second(self, redis: Server) -> float:
        send(redis, self.tasks)
        starts = _wait(redis, self.tasks)
        return (len(starts) - 1) / (starts[-1][1] - starts[0][1])

    def _latencies(self, redis: Server, pause: float) -> list[float]:
        count = min(self.tasks, 300)
        send(redis, count, pause=pause)
        return [began - sent for sent, began in _wait(redis, count)]

    def _requests_a_task(self, redis: Server) -> float:
        count = min(self.tasks, 300)
        with counted_requests(redis) as requests:
            send(redis, count)
            _wait(redis, count)
        noted = 2 * count  # the sender's request, and the task's own
        return (requests.total - noted) / count

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def _line(
        self,
        label: str,
        values: dict[str, list[float]],
        aim: float | None = None,
        *,
        unit: str = "",
        scale: float = 1.0,
    ) -> None:
        medians = {kind: statistics.median(found) * scale for kind, found in values.items()}
        against = f"{medians[FLEET]:.4g} against {medians[BARE]:.4g} {unit}".rstrip()
        ratio = medians[FLEET] / medians[BARE] if medians[BARE] else float("nan")
        print(f"  {label:<44} {ratio:5.2f}   {f'aim {aim:g}' if aim else '':<9} {against}", flush=True)


def _wait(redis: Server, count: int) -> list[tuple[float, float]]:
    client = redis.client(redis.starts_url)
    while client.llen("starts") < count:
        time.sleep(0.25)  # seldom, since the machine is under measurement
    return sorted(redis.starts(), key=lambda start: start[1])


def _requests_an_idle_second(redis: Server) -> float:
    time.sleep(2)
    with counted_requests(redis) as requests:
        time.sleep(IDLE_SECONDS)
    return requests.total / IDLE_SECONDS


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.runtime", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer tasks, one round: a look, and no figure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), tasks=300 if options.quick else 3000, rounds=1 if options.quick else 3)
        print("the runtime against a bare Celery worker (about 9 min; with --quick 2 min)", flush=True)
        for concurrency in (1, 4, 8):
            bench.throughput(concurrency)
        bench.latency(0.02, "mostly idle")
        bench.latency(0.0, "busy")
        bench.requests()
        bench.memory()
        bench.probe()


if __name__ == "__main__":
    with as_exit_status(interrupted="Interrupted."):
        main()
