"""For how long the oldest message of a queue has waited, though no message says when it was sent."""

import json
import random
import time
from collections import deque
from collections.abc import Iterator

import pytest
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.ledger import Hold, Ledger, longest_waits, unpark

from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis

QUEUE = "default"
NEAR = 0.15  # seconds that a busy machine may add


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Redis]:
    with fleet.server.client() as client:
        yield client


@pytest.fixture
def ledger(client: Redis) -> Ledger:
    """A process that has a lease of the queue."""
    ledger = Ledger({QUEUE: catalogue.load().queues[QUEUE]})
    ledger.begin_lease(client)
    return ledger


def send(client: Redis, tag: str, step: int = 0) -> None:
    properties = {"delivery_tag": tag, "delivery_info": {"routing_key": QUEUE}, "priority": step}
    client.lpush(keys.waiting(QUEUE, step), json.dumps({"body": "", "headers": {}, "properties": properties}))


def fetch(client: Redis, ledger: Ledger) -> str:
    reply = client.execute_command(*ledger.fetch_command([QUEUE]))
    return str(json.loads(reply[1])["properties"]["delivery_tag"])


def wait(client: Redis) -> float | None:
    return longest_waits(client, [QUEUE])[QUEUE]


def test_it_is_that_of_the_oldest_and_then_of_the_next(client: Redis, ledger: Ledger) -> None:
    assert wait(client) is None
    send(client, "a")
    assert wait(client) == pytest.approx(0, abs=NEAR)
    time.sleep(0.5)
    send(client, "b")
    assert wait(client) == pytest.approx(0.5, abs=NEAR)
    time.sleep(0.5)
    assert wait(client) == pytest.approx(1.0, abs=NEAR)
    assert fetch(client, ledger) == "a"
    assert wait(client) == pytest.approx(0.5, abs=NEAR)
    assert fetch(client, ledger) == "b"
    assert wait(client) is None
    send(client, "c")
    assert wait(client) == pytest.approx(0, abs=NEAR)


def test_a_low_priority_that_nobody_reaches_is_the_one_that_waits_longest(client: Redis, ledger: Ledger) -> None:
    send(client, "low", 9)
    wait(client)
    time.sleep(0.5)
    send(client, "high")
    assert wait(client) == pytest.approx(0.5, abs=NEAR)
    assert fetch(client, ledger) == "high"
    assert wait(client) == pytest.approx(0.5, abs=NEAR)


def test_a_message_that_comes_back_hides_none_that_waits(client: Redis, ledger: Ledger) -> None:
    for tag in ("a", "b"):
        send(client, tag)
    wait(client)
    time.sleep(0.5)
    assert fetch(client, ledger) == "a"
    send(client, "c")
    wait(client)
    ledger.put_back(client, QUEUE, ["a"])
    assert wait(client) == pytest.approx(0.5, abs=NEAR)
    assert [fetch(client, ledger) for _ in range(2)] == ["a", "b"]
    assert wait(client) == pytest.approx(0, abs=NEAR), "c came when a was taken first"
    ledger.put_back(client, QUEUE, ["a"], last=True)
    wait(client)
    assert [fetch(client, ledger) for _ in range(2)] == ["c", "a"]
    assert wait(client) is None


def test_a_parked_message_waits_from_when_it_is_due(client: Redis, ledger: Ledger) -> None:
    send(client, "a")
    wait(client)
    fetch(client, ledger)
    ledger.park(client, QUEUE, "a", Hold(0.3, from_now=True))
    assert wait(client) is None
    until(lambda: unpark(client, [QUEUE]), "it is due")
    assert wait(client) == pytest.approx(0, abs=NEAR)
    time.sleep(0.4)
    assert wait(client) == pytest.approx(0.4, abs=NEAR)


def test_messages_that_others_take_or_a_lost_count_are_no_negative_wait(client: Redis, ledger: Ledger) -> None:
    for tag in "abcd":
        send(client, tag)
        wait(client)
    assert fetch(client, ledger) == "a"
    client.rpop(keys.waiting(QUEUE))  # as a worker of an earlier release does
    assert wait(client) == pytest.approx(0, abs=NEAR)
    client.delete(keys.taken(QUEUE))
    assert wait(client) == pytest.approx(0, abs=NEAR)
    time.sleep(0.3)
    assert wait(client) == pytest.approx(0.3, abs=NEAR)


def test_it_is_right_whatever_comes_and_goes(client: Redis, ledger: Ledger) -> None:
    chance, waiting = random.Random(5), deque[float]()  # noqa: S311 chance, and no secret
    for number in range(300):
        if waiting and chance.random() < (0.6 if number % 100 > 50 else 0.2):
            fetch(client, ledger)
            waiting.popleft()
        else:
            send(client, str(number))
            waiting.append(time.monotonic())
        found = wait(client)
        assert found == (pytest.approx(time.monotonic() - waiting[0], abs=NEAR) if waiting else None)
        time.sleep(chance.uniform(0, 0.02))


def test_a_backlog_of_any_length_takes_bounded_memory(client: Redis) -> None:
    send(client, "first")
    wait(client)
    time.sleep(0.3)
    client.zadd(
        keys.arrivals(QUEUE, 0), {str(int(time.time() * 1000) + number): 2 + number for number in range(12_000)}
    )
    client.hset(keys.taken(QUEUE), QUEUE, 0)
    client.lpush(keys.waiting(QUEUE), *(["more"] * 13_000))
    for _ in range(3):
        assert (wait(client) or 0) >= 0.3, "the oldest are kept"
    assert client.zcard(keys.arrivals(QUEUE, 0)) < 11_000
