"""At every moment a message is in its list, or in the unacked hash with an owner: no lost connection loses it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import kombu
import pytest
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.transport import channel, keys
from alphaswarm_runtime.transport.ledger import Ledger

from tests.images.runtime.harness import Fleet, Redis, until

pytestmark = pytest.mark.redis

untyped: Any = kombu
UNACKED = keys.unacked("default")
Message: TypeAlias = Any  # kombu.Message
QUEUES = {"default": catalogue.load().queues["default"]}


class Consumer:
    """One connection that fetches messages as a worker's does, step by step."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.received: list[str] = []
        self.redelivered: list[bool] = []
        self.detached: set[str] = set()
        queue = untyped.Queue("default", untyped.Exchange("default"), routing_key="default")
        timeouts = {"socket_timeout": 5, "socket_connect_timeout": 5}  # a worker's
        self.connection = untyped.Connection(fleet.server.url, transport_options=timeouts)
        self.ledger = Ledger(QUEUES, name)
        with fleet.server.client() as client:
            self.ledger.begin_lease(client)
        channel.install(self.connection, channel.Consuming(self.ledger, self.detached))
        self.channel = self.connection.default_channel  # as Celery's consumer
        self.consumer = self.connection.Consumer([queue], channel=self.channel, on_message=self._on_message)
        self.consumer.consume()

    def _on_message(self, message: Message) -> None:
        self.received.append(message.headers["id"])
        self.redelivered.append(message.delivery_info.get("redelivered", False))

    def send_fetch(self) -> None:
        """Send the command that fetches a message, and do not read the reply."""
        self.channel.connection.cycle.on_poll_start()

    def drain(self) -> None:
        """Receive what there is."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=2)  # longer than one BLMOVE


@pytest.fixture
def make_consumer(fleet: Fleet) -> Iterator[Callable[[str], Consumer]]:
    consumers: list[Consumer] = []

    def make(name: str) -> Consumer:
        consumers.append(Consumer(fleet, name))
        return consumers[-1]

    yield make
    for consumer in consumers:
        consumer.connection.close()


def counts(client: Redis) -> tuple[int, int]:
    """How many messages wait, and are unacked."""
    return client.llen("default"), client.hlen(UNACKED)


def test_a_message_sent_while_a_worker_hangs_is_not_lost_with_it(fleet: Fleet) -> None:
    hanging, send = fleet.worker(), fleet.sender()
    assert send("note", "before").get() == "before"
    time.sleep(1.5)  # it blocks until the next message now
    os.kill(hanging.pid, signal.SIGSTOP)
    sent = send("note", "after")
    time.sleep(0.5)
    with fleet.server.client() as client:
        assert client.llen("default") == 1, "the message is in the socket of a worker that will never read it"
    hanging.kill()
    fleet.worker()
    assert sent.get() == "after"


def test_a_message_whose_delivery_is_cut_is_requeued_over_the_next_connection(
    fleet: Fleet, make_consumer: Callable[[str], Consumer]
) -> None:
    sent = fleet.send("note", "cut")
    consumer = make_consumer("one")
    with fleet.server.client() as client:
        consumer.send_fetch()
        until(lambda: client.llen("default") == 0, "the message is fetched, its reply not read")
        assert counts(client) == (0, 1), "the message is nowhere"
        fleet.server.drop_connections()
        again = make_consumer("one")
        again.drain()
        assert (consumer.received, again.received) == ([], [sent.id])
        assert again.redelivered == [True]
        again.connection.close()
        assert counts(client) == (1, 0), "closing restores what is unacked"


def test_a_message_is_only_restored_by_its_owner(fleet: Fleet, make_consumer: Callable[[str], Consumer]) -> None:
    sent = fleet.send("note", "mine")
    first = make_consumer("first")
    first.drain()
    with fleet.server.client() as client:
        tag = client.hkeys(UNACKED)[0]
        assert first.ledger.put_back_of(client, "default", "first") == [tag]  # as its successor in the pod does
        second = make_consumer("second")
        second.drain()
        first.connection.close()
        assert counts(client) == (0, 1), "the second's message was requeued while its task runs"
        third = make_consumer("third")
        third.drain()
        assert (first.received, second.received, third.received) == ([sent.id], [sent.id], [])


def test_the_message_of_a_detached_task_is_not_restored(fleet: Fleet, make_consumer: Callable[[str], Consumer]) -> None:
    fleet.send("note", "kept")
    consumer = make_consumer("one")
    consumer.drain()
    with fleet.server.client() as client:
        again = make_consumer("one")
        again.detached.update(client.hkeys(UNACKED))
        again.drain()
        assert again.received == []
        again.detached.clear()
        again.channel._without_orphans.clear()
        again.drain()
        assert len(again.received) == 1


def test_a_message_whose_reply_is_lost_is_restored_by_the_worker_that_fetched_it(
    fleet: Fleet, make_consumer: Callable[[str], Consumer]
) -> None:
    sent = fleet.send("note", "no reply")
    consumer = make_consumer("one")
    consumer.send_fetch()
    with fleet.server.client() as client:
        until(lambda: counts(client) == (0, 1), "the message is fetched, its reply not read")
    consumer.channel.client.connection.disconnect()  # as kombu does with one that was silent for too long
    consumer.drain()
    assert consumer.received == [sent.id], "the message sits out its visibility timeout beside an idle worker"


def test_a_message_on_its_way_to_a_connection_that_is_closed_is_requeued(
    fleet: Fleet, make_consumer: Callable[[str], Consumer]
) -> None:
    fleet.send("note", "too late")
    consumer = make_consumer("one")
    consumer.send_fetch()
    with fleet.server.client() as client:
        until(lambda: counts(client) == (0, 1), "the message is fetched, its reply not read")
        consumer.connection.close()
        assert (consumer.received, counts(client)) == ([], (1, 0))


def test_an_idle_worker_blocks_until_there_is_a_message_and_fetches_the_oldest_first(
    fleet: Fleet, make_consumer: Callable[[str], Consumer]
) -> None:
    ids = [fleet.send("note", str(number)).id for number in range(3)]
    with fleet.server.client() as client:
        messages = client.lrange("default", 0, -1)
        client.delete("default")
        consumer = make_consumer("one")
        consumer.channel.brpop_timeout = 24 * 3600  # only a message ends its BLMOVE
        consumer.drain()
        client.config_resetstat()
        consumer.drain()
        assert "cmdstat_eval" not in client.info("commandstats"), "it polls although there is nothing"
        client.rpush("default", *messages)
        consumer.drain()
    assert consumer.received == ids


def test_a_worker_restores_no_message_of_another_with_its_host_name(fleet: Fleet) -> None:
    fleet.worker()
    fleet.send("sleep", "first's", 300)
    until(fleet.server.journal, "the first worker is busy")
    fleet.worker()
    assert fleet.send("note", "second's").get() == "second's"
    assert [line.split()[0] for line in fleet.server.journal()] == ["start", "second's"], "the task runs twice at once"


def test_an_acknowledged_message_leaves_nothing_behind(fleet: Fleet) -> None:
    fleet.worker()
    assert fleet.send("note", "done").get() == "done"
    with fleet.server.client() as client:
        until(lambda: counts(client) == (0, 0), "nothing is left")


def test_replies_between_workers_leave_nothing_behind(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.worker()  # mingle: the second sends a request to the first, and gets the reply through a queue
    with fleet.server.client() as client:
        assert counts(client) == (0, 0), "a reply counts as a running task and holds a pod"


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
        until(lambda: "the broker refuses to deliver" in worker.output, "the broker refuses")
        assert counts(client) == (1, 0)
        client.config_set("maxmemory", "0")
    assert sent.get() == "in need"
    assert worker.popen.poll() is None


def test_an_item_that_is_no_message_goes_to_the_dead_letters_and_frees_the_queue(fleet: Fleet) -> None:
    worker = fleet.worker()
    with fleet.server.client() as client:
        for text in ("no json", "[]", '{"body": ""}', '{"properties": {"delivery_tag": 7}}'):
            client.lpush("default", text)
        assert fleet.send("note", "behind").get() == "behind"
        assert client.llen(keys.dead("default")) == 4
    assert worker.output.count("moved to its dead letters") == 4


def test_a_worker_of_several_queues_consumes_each(fleet: Fleet) -> None:
    fleet.start("worker", "--queues", "default,paper,workflows", "--concurrency", "1").wait_ready()
    sent = [fleet.send("note", queue, queue=queue) for queue in ("workflows", "paper", "default") * 3]
    assert [task.get() for task in sent] == ["workflows", "paper", "default"] * 3


@pytest.mark.parametrize("what", ["ack", "reject", "requeue", "close"])
def test_what_comes_too_late_for_its_connection_is_an_error_of_the_connection(
    fleet: Fleet, make_consumer: Callable[[str], Consumer], what: str
) -> None:
    """Celery expects those. Any other error ends the worker."""
    fleet.send("note", "late")
    consumer = make_consumer("late")
    kept: list[Message] = []
    consumer.consumer.on_message = kept.append
    consumer.drain()
    (message,) = kept
    consumer.channel.qos.append(message, message.delivery_tag)
    errors = consumer.connection.connection_errors
    # As kombu does when the end of another channel failed: this one stays open, and has no connection any more.
    consumer.connection._do_close_transport()
    consumer.channel._disconnect_pools()
    with contextlib.suppress(*errors):
        if what == "close":
            consumer.connection.close()
        else:
            getattr(message, what)()
    with fleet.server.client() as client:
        assert client.hlen(UNACKED) == 1, "it comes back over the next connection"
