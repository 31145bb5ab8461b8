"""A promised wait is kept with fewer pods, by the scaler's own formula, in a simulated fleet with a clock of its own.

The autoscaler looks every 15 s, a pod takes 20 s to start, pods are taken after five minutes below. A promise is about
the wait beyond that: nobody can serve a task before a pod for it was asked for and has started.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from alphaswarm_runtime.scheduler.slot_shares import share

from manifests.scaling import formula
from queues import QUEUES, Queue, seconds

LOOK, POD_START, WINDOW, DAY = 15, 20, 300, 86_400  # seconds
QUEUE = replace(QUEUES.queues[0], replicas=(0, 500), concurrency=4)
Arrivals = Callable[[random.Random], Iterator[float]]


def steady(rng: random.Random) -> Iterator[float]:
    """A task every two seconds on the average, for a day."""
    now = 0.0
    while now < DAY:
        now += rng.expovariate(0.5)
        yield now


def bursts(_rng: random.Random) -> Iterator[float]:
    """Five hundred tasks at once, every half an hour."""
    for start in range(600, DAY, 1800):
        yield from [float(start)] * 500


def rising(rng: random.Random) -> Iterator[float]:
    """Nothing at night, and ten times the steady load at noon."""
    now = 0.0
    while now < DAY:
        now += rng.expovariate(5.0)
        if rng.random() < max(0.0, math.sin(math.tau * (now / DAY - 0.25))):
            yield now


@dataclass
class Simulation:
    """One queue, its pods and its autoscaler."""

    queue: Queue
    per_cent: int
    waits: list[float] = field(default_factory=list)
    pod_seconds: float = 0.0
    _waiting: deque[float] = field(default_factory=deque)
    _ends: list[float] = field(default_factory=list)
    _pods: int = 0
    _starting: deque[tuple[float, int]] = field(default_factory=deque)
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)

    def run(self, arrivals: Iterator[float], run_time: Callable[[], float]) -> "Simulation":
        coming, now = deque(arrivals), 0.0
        while coming or self._waiting or self._ends:
            if now % LOOK == 0:
                self._scale(now)
            while coming and coming[0] <= now:
                self._waiting.append(coming.popleft())
            while self._ends and self._ends[0] <= now:
                heapq.heappop(self._ends)
            while self._starting and self._starting[0][0] <= now:
                self._pods += self._starting.popleft()[1]
            while self._waiting and len(self._ends) < self._pods * self.queue.concurrency:
                self.waits.append(now - self._waiting.popleft())
                heapq.heappush(self._ends, now + run_time())
            self.pod_seconds += self._pods
            now += 1
        return self

    def _scale(self, now: float) -> None:
        wanted = math.ceil(self._slots() / self.queue.concurrency)
        self._wanted.append((now, min(wanted, self.queue.max_replicas)))
        while self._wanted[0][0] < now - WINDOW:
            self._wanted.popleft()
        target, asked = self._wanted[-1][1], self._pods + sum(count for _, count in self._starting)
        if target > asked:
            self._starting.append((now + POD_START, target - asked))
        elif (most := max(count for _, count in self._wanted)) < asked:
            busy = math.ceil(len(self._ends) / self.queue.concurrency)  # idle pods first
            self._pods = max(self._pods - (asked - most), busy)

    def _slots(self) -> float:
        """What KEDA's formula comes to; its `a ? b : c` is Python's `b if a else c`."""
        text = formula(self.queue).replace("(share > 0 ? share : 100)", "(share if share > 0 else 100)")
        assert "?" not in text
        numbers = {"waiting": len(self._waiting), "running": len(self._ends), "share": self.per_cent}
        return float(eval(text, {**dict.fromkeys(("waiting3", "waiting6", "waiting9"), 0), **numbers}))  # noqa: S307


def simulate(arrivals: Arrivals, run_seconds: float, target: int | None) -> Simulation:
    rng = random.Random(17)  # noqa: S311 the same tasks each time
    queue = replace(QUEUE, target_wait=None if target is None else seconds(target))
    per_cent = 100 if target is None else share(run_seconds, target)
    return Simulation(queue, per_cent).run(arrivals(rng), lambda: rng.expovariate(1 / run_seconds))


@pytest.mark.parametrize("arrivals", [steady, bursts, rising])
@pytest.mark.parametrize(("run_seconds", "target"), [(6, 60), (20, 120), (2, 300), (90, 60)])
def test_tasks_start_within_the_promise_and_the_time_a_pod_takes(
    arrivals: Arrivals, run_seconds: float, target: int
) -> None:
    promised, usual = simulate(arrivals, run_seconds, target), simulate(arrivals, run_seconds, None)
    p95 = sorted(promised.waits)[int(0.95 * len(promised.waits))]
    ratio = promised.pod_seconds / usual.pod_seconds
    print(f"{arrivals.__name__}, {run_seconds} s, promised {target} s: p95 {p95:.0f} s, pod-seconds {ratio:.2f}")
    assert len(promised.waits) == len(usual.waits)
    assert p95 <= target + LOOK + POD_START
    assert promised.pod_seconds <= usual.pod_seconds * 1.01


def test_short_tasks_in_bursts_need_a_fraction_of_the_pods() -> None:
    assert simulate(bursts, 6, 60).pod_seconds < simulate(bursts, 6, None).pod_seconds / 3
