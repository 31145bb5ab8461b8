"""The share of a slot that a task needs, so that none waits longer than a stack promises: measured, not asked for."""

import json
import math
import random
import time
from statistics import mean

import pytest
from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.scheduler import slot_shares
from alphaswarm_runtime.scheduler.slot_shares import SlotShares, share
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.ledger import Hold, Ledger, unpark
from hypothesis import given
from hypothesis import strategies as st

from tests.images.runtime.harness import Fleet, Redis, until
from tests.images.runtime.messages import QUEUE, fetch, put

pytestmark = pytest.mark.redis

LONG = 1000  # seconds, a promise that no task here comes near


class Measured(Metrics):
    """The mean run time that was measured last."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def set_mean_runtime(self, queue: str, seconds: float) -> None:
        assert queue == QUEUE
        self.seconds = seconds


@given(st.floats(0, 1e6), st.integers(1, 10**6))
def test_a_share_is_the_part_of_the_promise_that_a_task_takes_rounded_up(seconds: float, target: int) -> None:
    found = share(seconds, target)
    assert 1 <= found <= 100
    assert found == 100 or found / 100 * target >= seconds * (1 - 1e-9), "the promise would be broken"
    assert found == 1 or (found - 1) / 100 * target < seconds * (1 + 1e-9), "a pod too many"


def test_what_is_not_known_gets_a_slot_of_its_own(client: Redis) -> None:
    assert share(None, 60) == 100
    SlotShares({QUEUE: 60}, Metrics()).update(client)
    assert client.llen(keys.share(QUEUE)) == 100


def test_the_mean_of_real_tasks_is_measured_without_a_word_from_them(fleet: Fleet, client: Redis) -> None:
    fleet.worker(QUEUE, ALPHASWARM_CONCURRENCY="2")
    beat = SlotShares({QUEUE: 2}, measured := Measured())
    rng = random.Random(9)  # noqa: S311 not for secrets
    times = [rng.uniform(0.1, 0.7) for _ in range(30)]
    for number, seconds in enumerate(times):
        fleet.send("sleep", str(number), seconds, queue=QUEUE)
    while client.llen(QUEUE) + client.hlen(keys.unacked(QUEUE)):
        beat.update(client)
        time.sleep(0.05)
    beat.update(client)
    assert measured.seconds is not None
    print(f"measured {measured.seconds:.3f} s, really {mean(times):.3f} s")
    assert mean(times) * 0.9 < measured.seconds < mean(times) * 1.4, "a message costs some time around its task"
    assert client.llen(keys.share(QUEUE)) == share(measured.seconds, 2)


def test_tasks_that_still_run_make_the_mean_longer_and_never_shorter(client: Redis, ledger: Ledger) -> None:
    beat = SlotShares({QUEUE: LONG}, measured := Measured())
    for number in range(30):
        put(client, str(number))
    beat.update(client)
    tags = [fetch(client, ledger) for _ in range(30)]
    beat.update(client)
    time.sleep(0.5)
    for tag in tags[:12]:
        ledger.ack(client, QUEUE, tag)
    beat.update(client)
    assert measured.seconds is not None
    assert measured.seconds > 0.5, "the short ones end first, and the long ones would not count"


def test_parked_messages_have_not_run(client: Redis, ledger: Ledger) -> None:
    beat = SlotShares({QUEUE: LONG}, measured := Measured())
    beat.update(client)
    for number in range(40):
        put(client, str(number))
        assert ledger.park(client, QUEUE, fetch(client, ledger), Hold(600, from_now=True))
    beat.update(client)
    client.zadd(keys.parked(QUEUE), dict.fromkeys(client.zrange(keys.parked(QUEUE), 0, -1), 0.0))  # all are due now
    assert unpark(client, [QUEUE]) == 40
    beat.update(client)
    assert measured.seconds is None, "forty tasks would have run for no time at all"


def test_what_comes_back_has_not_ended(client: Redis, ledger: Ledger) -> None:
    beat = SlotShares({QUEUE: LONG}, measured := Measured())
    beat.update(client)
    for number in range(40):
        put(client, str(number))
    for _ in range(40):
        ledger.put_back(client, QUEUE, [fetch(client, ledger)], deliveries=1)
        beat.update(client)
    assert measured.seconds is None


def test_lost_data_begin_a_new_measurement(client: Redis, ledger: Ledger) -> None:
    beat = SlotShares({QUEUE: LONG}, measured := Measured())
    run_for(client, ledger, beat, 20, 0.02)
    first = measured.seconds
    assert first is not None
    client.delete(keys.taken(QUEUE))
    beat.update(client)
    assert math.isclose(measured.seconds or 0, first, rel_tol=0.2), "a count that fell is no task"


def test_the_last_tasks_count_and_those_before_are_forgotten(
    client: Redis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_shares, "MEMORY", 10)
    beat = SlotShares({QUEUE: LONG}, measured := Measured())
    run_for(client, ledger, beat, 15, 0.1)
    slow = measured.seconds
    run_for(client, ledger, beat, 60, 0.005)
    assert slow is not None
    assert measured.seconds is not None
    assert measured.seconds < slow / 3


def run_for(client: Redis, ledger: Ledger, beat: SlotShares, tasks: int, seconds: float) -> None:
    for number in range(tasks):
        put(client, str(number))
        beat.update(client)
        tag = fetch(client, ledger)
        beat.update(client)
        time.sleep(seconds)
        ledger.ack(client, QUEUE, tag)
        beat.update(client)


def test_beat_keeps_the_share(fleet: Fleet) -> None:
    scaling = json.dumps({QUEUE: {"target_wait": 10, "sessions": None}})
    beat = fleet.start("beat", ALPHASWARM_SCALING=scaling).wait_ready()
    with fleet.server.client() as client:
        until(lambda: client.llen(keys.share(QUEUE)) == 100, "it is there")
        assert client.ttl(keys.share(QUEUE)) <= 600
    assert "Traceback" not in beat.output
