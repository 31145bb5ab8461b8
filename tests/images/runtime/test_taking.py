"""A message is in its list, or written down as somebody's, at every moment: what a cut or a kill cannot part."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import kombu
import pytest
from alphaswarm_runtime import taking

from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis

untyped: Any = kombu
Message: TypeAlias = Any  # kombu.Message
KEYS = {"unacked_key": "unacked:default", "unacked_index_key": "unacked_index:default", "priority_steps": [0]}


class Taker:
    """One connection that takes messages as a worker's does, by hand."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.got: list[str] = []
        self.held: set[str] = set()
        queue = untyped.Queue("default", untyped.Exchange("default"), routing_key="default")
        self.connection = untyped.Connection(fleet.server.url, transport_options=KEYS)
        taking.install(self.connection, taking.Owner("owners:default", name, self.held))
        self.channel = self.connection.channel()
        self.consumer = self.connection.Consumer([queue], channel=self.channel, on_message=self._on_message)
        self.consumer.consume()

    def _on_message(self, message: Message) -> None:
        self.got.append(message.headers["id"])

    def ask(self) -> None:
        """Ask for a message, and do not listen for the answer."""
        self.channel.connection.cycle.on_poll_start()

    def drain(self) -> None:
        """Take what there is."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=2)  # longer than it waits for the bell


@pytest.fixture
def taker(fleet: Fleet) -> Iterator[Callable[[str], Taker]]:
    takers: list[Taker] = []

    def make(name: str) -> Taker:
        takers.append(Taker(fleet, name))
        return takers[-1]

    yield make
    for one in takers:
        one.connection.close()


def places(client: Redis) -> tuple[int, int, int, int]:
    """How many messages wait, are taken, are in the index of those, and have an owner."""
    taken = client.hlen("unacked:default"), client.zcard("unacked_index:default"), client.hlen("owners:default")
    return client.llen("default"), *taken


def test_a_message_sent_while_a_worker_hangs_is_not_lost_with_it(fleet: Fleet) -> None:
    hanging, send = fleet.worker(), fleet.sender()
    assert send("note", "before").get() == "before"
    time.sleep(1.5)  # it waits for the next message now
    os.kill(hanging.pid, signal.SIGSTOP)
    sent = send("note", "after")
    time.sleep(0.5)
    with fleet.server.client() as client:
        assert client.llen("default") == 1, "the message is in the socket of a worker that will never read it"
    hanging.kill()
    fleet.worker()
    assert sent.get() == "after"


def test_a_message_whose_handing_over_is_cut_goes_back_over_the_next_connection(
    fleet: Fleet, taker: Callable[[str], Taker]
) -> None:
    sent = fleet.send("note", "cut")
    one = taker("one")
    with fleet.server.client() as client:
        one.ask()
        until(lambda: client.llen("default") == 0, "the message is taken, its answer not read")
        assert places(client) == (0, 1, 1, 1), "the message is in nobody's hands"
        fleet.server.drop_connections()
        again = taker("one")
        again.drain()
        assert (one.got, again.got) == ([], [sent.id])
        assert json.loads(client.hvals("unacked:default")[0])[0]["headers"]["redelivered"] is True
        again.connection.close()
        assert places(client) == (1, 0, 0, 0), "closing gives back what is held"


def test_a_message_is_only_given_back_by_who_has_it(fleet: Fleet, taker: Callable[[str], Taker]) -> None:
    sent = fleet.send("note", "mine")
    first = taker("first")
    first.drain()
    with fleet.server.client() as client:
        tag = client.hkeys("unacked:default")[0]
        first.channel.qos.restore_by_tag(tag)  # as the search for overdue messages does
        second = taker("second")
        second.drain()
        first.connection.close()
        assert places(client) == (0, 1, 1, 1), "the second's message went back while its task runs"
        third = taker("third")
        third.drain()
        assert (first.got, second.got, third.got) == ([sent.id], [sent.id], [])


def test_a_message_whose_task_goes_on_without_its_connection_is_not_given_back(
    fleet: Fleet, taker: Callable[[str], Taker]
) -> None:
    fleet.send("note", "kept")
    one = taker("one")
    one.drain()
    with fleet.server.client() as client:
        again = taker("one")
        again.held.update(client.hkeys("unacked:default"))
        again.drain()
        assert again.got == []
        again.held.clear()
        again.channel._unsure = True
        again.drain()
        assert len(again.got) == 1


def test_a_message_whose_answer_never_came_is_found_again_by_the_worker_that_took_it(
    fleet: Fleet, taker: Callable[[str], Taker]
) -> None:
    sent = fleet.send("note", "unheard")
    one = taker("one")
    one.ask()
    with fleet.server.client() as client:
        until(lambda: places(client) == (0, 1, 1, 1), "the message is taken, its answer not read")
    one.channel.client.connection.disconnect()  # as kombu does with one that was silent for too long
    one.drain()
    assert one.got == [sent.id], "the message sits out its visibility timeout beside an idle worker"


def test_a_message_on_its_way_to_a_connection_that_is_closed_goes_back(
    fleet: Fleet, taker: Callable[[str], Taker]
) -> None:
    fleet.send("note", "too late")
    one = taker("one")
    one.ask()
    with fleet.server.client() as client:
        until(lambda: places(client) == (0, 1, 1, 1), "the message is taken, its answer not read")
        one.connection.close()
        assert (one.got, places(client)) == ([], (1, 0, 0, 0))


def test_an_idle_worker_sleeps_until_a_message_wakes_it_and_takes_the_oldest_first(
    fleet: Fleet, taker: Callable[[str], Taker]
) -> None:
    ids = [fleet.send("note", str(number)).id for number in range(3)]
    with fleet.server.client() as client:
        messages = client.lrange("default", 0, -1)
        client.delete("default")
        one = taker("one")
        one.channel.brpop_timeout = 24 * 3600  # nothing but the bell ends its sleep
        one.drain()
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == 1, "it asks again and again for nothing"
        client.rpush("default", *messages)
        one.drain()
    assert one.got == ids


def test_a_worker_leaves_alone_what_another_of_its_host_name_has(fleet: Fleet) -> None:
    fleet.worker()
    fleet.send("nap", "first's", 300)
    until(fleet.server.journal, "the first worker is busy")
    fleet.worker()
    assert fleet.send("note", "second's").get() == "second's"
    assert [line.split()[0] for line in fleet.server.journal()] == ["start", "second's"], "the task runs twice at once"


def test_an_acknowledged_message_leaves_nothing_behind(fleet: Fleet) -> None:
    fleet.worker()
    assert fleet.send("note", "done").get() == "done"
    with fleet.server.client() as client:
        until(lambda: places(client) == (0, 0, 0, 0), "every trace is gone")


def test_workers_that_ask_each_other_leave_nothing_behind(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.worker()  # the second asks the first, and gets its answer through a queue
    with fleet.server.client() as client:
        assert places(client) == (0, 0, 0, 0), "an answer counts as a running task and holds a pod"


def test_a_broker_without_memory_loses_no_message_and_ends_no_worker(fleet: Fleet) -> None:
    worker = fleet.worker()
    with fleet.server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        sent = fleet.send("note", "later")
        assert sent.get() == "later"
        os.kill(worker.pid, signal.SIGSTOP)
        sent = fleet.send("note", "in need")
        client.config_set("maxmemory", "1")
        os.kill(worker.pid, signal.SIGCONT)
        until(lambda: "the broker gives no message" in worker.output, "the worker asks in vain")
        assert places(client) == (1, 0, 0, 0)
        client.config_set("maxmemory", "0")
    assert sent.get() == "in need"
    assert worker.popen.poll() is None


def test_what_is_no_message_goes_to_the_dead_ones_and_frees_the_queue(fleet: Fleet) -> None:
    worker = fleet.worker()
    with fleet.server.client() as client:
        for text in ("no json", "[]", '{"body": ""}', '{"properties": {"delivery_tag": 7}}'):
            client.lpush("default", text)
        assert fleet.send("note", "behind").get() == "behind"
        assert client.llen("dead:default") == 4
    assert worker.output.count("moved to dead:default") == 4


def test_a_worker_of_several_queues_takes_from_each(fleet: Fleet) -> None:
    fleet.start("worker", "--queues", "default,paper,workflows", "--concurrency", "1").wait_ready()
    sent = [fleet.send("note", queue, queue=queue) for queue in ("workflows", "paper", "default") * 3]
    assert [one.get() for one in sent] == ["workflows", "paper", "default"] * 3
