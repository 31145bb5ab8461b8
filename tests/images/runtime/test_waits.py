"""For how long the oldest message of a queue has waited, though no message says when it was sent."""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.ledger import Hold, Ledger, longest_waits, unpark

from tests.images.runtime.harness import Redis, until
from tests.images.runtime.messages import QUEUE, fetch, put

pytestmark = pytest.mark.redis

SLACK = 0.05  # seconds between the server's clock and this process'


@dataclass(frozen=True)
class Moment:
    """Something that happened between two readings of the clock."""

    after: float
    before: float


def wait(client: Redis) -> float | None:
    return longest_waits(client, [QUEUE])[QUEUE]


def seen(client: Redis, what: Callable[[], object]) -> Moment:
    """Do it, and let it be seen, as beat does each second."""
    after = time.monotonic()
    what()
    wait(client)
    return Moment(after, time.monotonic())


def send(client: Redis, tag: str, step: int = 0) -> Moment:
    return seen(client, lambda: put(client, tag, step))


def assert_waits_since(client: Redis, moment: Moment) -> None:
    """The oldest message came at that moment, as far as two clocks can tell."""
    least = time.monotonic() - moment.before
    found = wait(client)
    assert found is not None
    assert least - SLACK <= found <= time.monotonic() - moment.after + SLACK


def test_it_is_that_of_the_oldest_and_then_of_the_next(client: Redis, ledger: Ledger) -> None:
    assert wait(client) is None
    first = send(client, "a")
    assert_waits_since(client, first)
    time.sleep(0.5)
    second = send(client, "b")
    assert_waits_since(client, first)
    time.sleep(0.5)
    assert_waits_since(client, first)
    assert fetch(client, ledger) == "a"
    assert_waits_since(client, second)
    assert fetch(client, ledger) == "b"
    assert wait(client) is None
    assert_waits_since(client, send(client, "c"))


def test_a_low_priority_that_nobody_reaches_is_the_one_that_waits_longest(client: Redis, ledger: Ledger) -> None:
    low = send(client, "low", 9)
    time.sleep(0.5)
    send(client, "high")
    assert_waits_since(client, low)
    assert fetch(client, ledger) == "high"
    assert_waits_since(client, low)


def test_a_message_that_comes_back_hides_none_that_waits(client: Redis, ledger: Ledger) -> None:
    send(client, "a")
    second = send(client, "b")
    time.sleep(0.5)
    assert fetch(client, ledger) == "a"
    third = send(client, "c")
    ledger.put_back(client, QUEUE, ["a"])
    assert_waits_since(client, second)
    assert [fetch(client, ledger) for _ in range(2)] == ["a", "b"]
    assert_waits_since(client, third)
    again = seen(client, lambda: ledger.put_back(client, QUEUE, ["a"], last=True))
    assert fetch(client, ledger) == "c"
    assert_waits_since(client, again)
    assert fetch(client, ledger) == "a"
    assert wait(client) is None


def test_a_parked_message_waits_from_when_it_is_due(client: Redis, ledger: Ledger) -> None:
    send(client, "a")
    fetch(client, ledger)
    ledger.park(client, QUEUE, "a", Hold(0.3, from_now=True))
    assert wait(client) is None
    parked = time.monotonic()
    until(lambda: unpark(client, [QUEUE]), "it is due")
    wait(client)
    due = Moment(parked, time.monotonic())
    time.sleep(0.4)
    assert_waits_since(client, due)


def test_messages_that_others_take_or_a_lost_count_are_no_negative_wait(client: Redis, ledger: Ledger) -> None:
    for tag in "abcd":
        send(client, tag)
    assert fetch(client, ledger) == "a"
    # As a worker of an earlier release does, and as an emptied database would.
    assert_waits_since(client, seen(client, lambda: client.rpop(keys.waiting(QUEUE))))
    lost = seen(client, lambda: client.delete(keys.taken(QUEUE)))
    time.sleep(0.3)
    assert_waits_since(client, lost)


def test_it_is_right_whatever_comes_and_goes(client: Redis, ledger: Ledger) -> None:
    chance, waiting = random.Random(5), deque[Moment]()  # noqa: S311 chance, and no secret
    for number in range(300):
        if waiting and chance.random() < (0.6 if number % 100 > 50 else 0.2):
            fetch(client, ledger)
            waiting.popleft()
        else:
            waiting.append(send(client, str(number)))
        if waiting:
            assert_waits_since(client, waiting[0])
        else:
            assert wait(client) is None
        time.sleep(chance.uniform(0, 0.02))


def test_a_backlog_of_any_length_takes_bounded_memory(client: Redis) -> None:
    first = send(client, "first")
    now = int(time.time() * 1000)
    client.zadd(keys.arrivals(QUEUE, 0), {str(now + number): 2 + number for number in range(12_000)})
    client.lpush(keys.waiting(QUEUE), *(["more"] * 13_000))
    for _ in range(3):
        assert_waits_since(client, first)
    assert client.zcard(keys.arrivals(QUEUE, 0)) < 11_000
