"""A promised wait is kept with fewer pods, by the scaler's own formula, in a simulated fleet with a clock of its own.

And over a year of an exchange's sessions, with the floor that beat would keep for them.

The autoscaler looks every 15 s, a pod takes 20 s to start, pods are taken after five minutes below. A promise is about
the wait beyond that: nobody can serve a task before a pod for it was asked for and has started.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import CodeType

import pytest
from alphaswarm_runtime.scheduler.slot_shares import share

from config.calendars import exchange_calendar
from manifests.scaling import formula
from queues import QUEUES, Queue, Sessions, seconds

LOOK, POD_START, WINDOW, DAY = 15, 20, 300, 86_400  # seconds
QUEUE = replace(QUEUES.queues[0], replicas=(0, 500), concurrency=4)
OTHER_LISTS = dict.fromkeys(("waiting3", "waiting6", "waiting9"), 0)
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
    floor: Callable[[float], int] = lambda _now: 0
    look: int = LOOK
    waits: list[float] = field(default_factory=list)
    pod_seconds: float = 0.0
    _waiting: deque[float] = field(default_factory=deque)
    _ends: list[float] = field(default_factory=list)
    _pods: int = 0
    _now: float = 0.0
    _starting: deque[tuple[float, int]] = field(default_factory=deque)
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)

    def run(self, arrivals: Iterator[float], run_time: Callable[[], float]) -> "Simulation":
        coming, now = deque(arrivals), 0.0
        while coming or self._waiting or self._ends:
            if now % self.look == 0:
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
            step = 1 if self._waiting or self._ends or not coming else self._idle(now, coming[0])
            self.pod_seconds += self._pods * step
            now += step
        return self

    def _idle(self, now: float, next_arrival: float) -> int:
        """How many seconds nothing can happen in: until the autoscaler looks, pods start or a task comes."""
        events = [now - now % self.look + self.look, math.ceil(next_arrival), *(start for start, _ in self._starting)]
        return max(1, int(min(events) - now))

    def _scale(self, now: float) -> None:
        self._now = now
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
        numbers = {"waiting": len(self._waiting), "running": len(self._ends), "share": self.per_cent}
        numbers["sessionPods"] = self.floor(self._now)
        return float(eval(self._formula, numbers | OTHER_LISTS))  # noqa: S307

    @cached_property
    def _formula(self) -> CodeType:
        """KEDA's formula; its `a ? b : c` is Python's `b if a else c`."""
        text = formula(self.queue).replace("(share > 0 ? share : 100)", "(share if share > 0 else 100)")
        assert "?" not in text
        return compile(text, "formula", "eval")


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


def test_over_a_year_the_opening_finds_its_pods_and_the_nights_and_holidays_have_none() -> None:
    """Every session begins with 200 tasks of 6 s, and has some more at noon; 60 s are promised."""
    start = datetime(2027, 1, 1, tzinfo=UTC)
    calendar, sessions = exchange_calendar("XNYS"), Sessions(calendar="XNYS", min_replicas=10)
    days = filter(None, (calendar.session_of(start.date() + timedelta(days=day)) for day in range(365)))
    spans = [((one.opens - start).total_seconds(), (one.closes - start).total_seconds()) for one in days]
    arrivals = [second for opens, closes in spans for second in [opens] * 200 + [(opens + closes) / 2] * 20]

    edges = [edge for opens, closes in spans for edge in (opens - sessions.before.total_seconds(), closes)]

    def floor(now: float) -> int:
        return sessions.min_replicas if bisect_right(edges, now) % 2 else 0

    def year(queue: Queue, floor: Callable[[float], int]) -> Simulation:
        return Simulation(queue, share(6, 60), floor, look=60).run(iter(arrivals), lambda: 6)

    promised = replace(QUEUE, target_wait=seconds(60))
    cold, warm = year(promised, lambda _now: 0), year(replace(promised, sessions=sessions), floor)
    assert len(warm.waits) == len(cold.waits) == 220 * 251
    assert max(cold.waits) > POD_START, "without a floor the opening waits for its pods"
    assert max(warm.waits) <= 30, "two hundred tasks, forty slots"
    in_sessions = sum(closes - opens + sessions.before.total_seconds() for opens, closes in spans)
    assert warm.pod_seconds <= 1.1 * sessions.min_replicas * in_sessions
