"""kombu's Redis transport, whose consuming side works on the ledger: each message is in one place, with one owner.

kombu pops a message with BRPOP and stores it as unacked with a second request. In between, the message exists only in
a socket. If the connection drops or the worker is killed at that moment, the task is lost. If only the reply is lost,
the task waits for the visibility timeout, which is hours for some queues.

Here one script moves the message (scripts.FETCH). The script cannot block, so BLMOVE does, from the tail of the first
list to the same tail: it returns when there is a message, and leaves the list as it is. The script then fetches. A
lower priority, and a parked message that falls due, is found when BLMOVE times out: at the latest after a second.

Orphans are messages that this process owns and does not know of: their reply was lost, or the broker did not get the
request to return them. A new connection returns them before it fetches anything.

Producers, and kombu's other commands, are unchanged.
"""

# mypy: disable-error-code="no-untyped-call"
# (kombu's functions have no types, and its classes are known.)

import functools
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.transport.ledger import Ledger
from alphaswarm_runtime.type_aliases import Client, Connection, Message

logger = logging.getLogger("alphaswarm_runtime.transport.channel")

FETCH, BLOCK = "EVAL", "BLMOVE"
DELIVERY_COUNT = "x-delivery-count"
QUEUE = "queue"  # what a message came from; only in memory
POLLING_INTERVAL = 0.1  # seconds to block on one of several queues: BLMOVE takes a single list
ERROR_BACKOFF = 1.0  # seconds until the next command to a server that replied with an error
LEASE_ENDED = -2  # FETCH's reply


@dataclass
class Consuming:
    """What the channels of this process share.

    `detached` holds the delivery tags of messages whose tasks go on although the connection that delivered them is
    closed. `blamed` holds those whose task ended its own process: their return is counted. `unacknowledged` holds those
    that are done with, and whose acknowledgement the broker has not taken, with their queues.
    """

    ledger: Ledger
    detached: Collection[str] = ()
    blamed: set[str] = field(default_factory=set)
    unacknowledged: dict[str, str] = field(default_factory=dict)


def install(connection: Connection, consuming: Consuming) -> None:
    """Make a kombu connection to Redis consume from the ledger. It must not be open yet."""
    get_transport_cls = connection.get_transport_cls  # called again when the connection fails over to another address

    @functools.cache
    def with_ledger(transport: type[redis.Transport]) -> type:
        channel = type("Channel", (LedgerChannel, transport.Channel), {"consuming": consuming})
        return type("Transport", (transport,), {"Channel": channel})

    connection.get_transport_cls = lambda: with_ledger(get_transport_cls())


class LedgerQoS(redis.QoS):
    """The messages that were fetched and not yet acknowledged."""

    def append(self, message: Message, delivery_tag: str) -> None:
        """Add a message to the delivered ones."""
        self.channel.fetched.discard(delivery_tag)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, unless another process owns it by now. What fails now is tried again."""
        if (message := self._delivered.get(delivery_tag)) is not None:
            consuming = self.channel.consuming
            consuming.unacknowledged[delivery_tag] = queue_of(message)
            self.forget(delivery_tag)
            with self.channel.conn_or_acquire() as client:
                consuming.ledger.ack(client, queue_of(message), delivery_tag)
            consuming.unacknowledged.pop(delivery_tag, None)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Acknowledge a message, or return it to the end of its queue."""
        if not requeue:
            self.ack(delivery_tag)
        elif (message := self._delivered.get(delivery_tag)) is not None:
            blamed = self.channel.consuming.blamed
            deliveries = int(delivery_tag in blamed)
            self.forget(delivery_tag)
            try:
                with self.channel.conn_or_acquire() as client:
                    self.channel.consuming.ledger.put_back(
                        client, queue_of(message), [delivery_tag], deliveries=deliveries, last=True
                    )
            except BaseException:
                self.channel.look_for_orphans()
                raise
            blamed.discard(delivery_tag)

    def forget(self, delivery_tag: str) -> None:
        """Count a message as delivered no longer."""
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Client = None) -> None:
        """Return every delivered message. What fails now becomes an orphan of the next connection."""
        try:
            with self.channel.conn_or_acquire(client) as connected:
                for tag, message in self._delivered.items():
                    self.channel.consuming.ledger.put_back(connected, queue_of(message), [tag])
        except self.channel.ResponseError as error:
            logger.warning("the broker refuses to take messages back; the next connection returns them: %s", error)
        finally:
            self._delivered.clear()

    def restore_visible(self, *args: object, **kwargs: object) -> None:
        """Do nothing: the consumer reclaims overdue messages itself (Ledger.reclaim)."""


class LedgerChannel(redis.Channel):
    """A channel that sends FETCH; where the queues are empty it sends BLOCK, and FETCH again."""

    QoS = LedgerQoS
    consuming: Consuming
    _in_poll: Any  # the connection whose reply is outstanding
    _brpop_sent_at: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.fetched: set[str] = set()  # tags that the script stored and no consumer has got yet
        self._last_command = BLOCK
        self._queues_are_empty = False
        self._due_in = -1.0  # seconds until a parked message is due; negative when none is
        self._without_orphans: set[str] = set()  # queues
        self._blocked_queue = 0  # counts up: with several queues, each is blocked on in turn
        self._backoff_until = 0.0
        super().__init__(*args, **kwargs)

    def basic_consume(self, queue: str, no_ack: bool, *args: object, **kwargs: object) -> object:
        """Consume a queue; where messages are acknowledged, only one of this process' own.

        Raises:
            ConfigurationError: it is another one.
        """
        own = self.consuming.ledger.queues
        if queue not in own and not no_ack:
            raise ConfigurationError(
                f"the application lets this worker consume queue {queue!r}; it was started for {', '.join(own)}. "
                "Remove that from its signal handlers and steps: each queue has workers of its own."
            )
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() < self._backoff_until:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if orphaned := set(queues) - self._without_orphans:
            self._put_back_orphans(orphaned)
        if self._queues_are_empty:
            command = self._block_command(queues, timeout or self.brpop_timeout)
        else:
            command = self.consuming.ledger.fetch_command(queues)
        self._last_command = str(command[0])
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_command(*command)

    def _block_command(self, queues: list[str], timeout: float) -> list[object]:
        self._blocked_queue += 1
        queue = queues[self._blocked_queue % len(queues)]
        seconds = timeout if len(queues) == 1 else POLLING_INTERVAL
        if self._due_in >= 0:
            seconds = max(min(seconds, self._due_in), 0.001)  # 0 would wait for ever
        return [BLOCK, queue, queue, "RIGHT", "RIGHT", seconds]

    def _brpop_read(self, **options: object) -> bool:
        command = self._last_command
        try:
            reply = self._read_reply(command, **options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if command == BLOCK:
            self._queues_are_empty = False
            raise Empty
        self._queues_are_empty = isinstance(reply, int)
        if isinstance(reply, int):
            self._due_in = reply / 1000
            if reply == LEASE_ENDED:
                self._backoff_until = time.monotonic() + ERROR_BACKOFF
            raise Empty
        return self._deliver_fetched(*reply)

    def _read_reply(self, command: str, **options: object) -> Any:  # noqa: ANN401 Redis' reply
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, command, **options)
        except self.connection_errors:
            connection.disconnect()
            raise
        except self.ResponseError as error:
            # Out of memory, read-only after a failover, no permission: it may pass, and tasks are running here.
            logger.warning("the broker refuses to deliver a message: %s", error)
            self._backoff_until = time.monotonic() + ERROR_BACKOFF
            connection.disconnect()
            raise Empty from None

    def _deliver_fetched(self, queue: bytes, item: bytes | None = None) -> bool:
        name = bytes_to_str(queue)
        if item is None:
            logger.error("an item of queue %s is no message; moved to its dead letters", name)
            raise Empty
        self._queue_cycle.rotate(name)
        payload = loads(bytes_to_str(item))
        _mark_redelivered(payload)
        payload[QUEUE] = name
        tag = payload["properties"]["delivery_tag"]
        if self._closing:
            with self.conn_or_acquire() as client:
                self.consuming.ledger.put_back(client, name, [tag])
            raise Empty
        self.fetched.add(tag)
        self.connection._deliver(payload, name)  # noqa: SLF001
        if tag in self.fetched:  # its consumer does not acknowledge: a reply to one of the worker's own requests
            self.fetched.discard(tag)
            with self.conn_or_acquire() as client:
                self.consuming.ledger.ack(client, name, tag)
        return True

    def look_for_orphans(self) -> None:
        """Return orphans before the next message is fetched."""
        self._without_orphans.clear()

    def _put_back_orphans(self, queues: set[str]) -> None:
        known = {*self.qos._delivered, *self.consuming.detached, *self.consuming.unacknowledged}  # noqa: SLF001
        with self.conn_or_acquire() as client:
            for queue in queues:
                for tag in self.consuming.ledger.put_back_others(client, queue, known):
                    logger.warning("message %s was fetched, but its reply was lost: requeueing it", tag)
                self._without_orphans.add(queue)

    def _on_connection_disconnect(self, connection: Client) -> None:
        if self._in_poll is connection and self._last_command == FETCH:
            self.look_for_orphans()
        super()._on_connection_disconnect(connection)

    @contextmanager
    def conn_or_acquire(self, client: Client = None) -> Iterator[Client]:
        """Yield a client, as kombu does.

        Raises:
            ConnectionResetError: the connection was closed meanwhile, and this channel was not. Kombu raises
                AttributeError, which Celery takes for a fault of the worker, and ends it.
        """
        if client is None and self.connection.client is None:
            raise ConnectionResetError("the connection of this channel is closed")
        with super().conn_or_acquire(client) as connected:
            yield connected

    def close(self) -> None:
        """Close the channel as kombu does, but do not wait for the reply to BLOCK."""
        if self._in_poll and self._last_command == BLOCK:
            self._in_poll = None
        super().close()


def queue_of(message: Message) -> str:
    """Return the queue that a message was fetched from."""
    return str(message._raw[QUEUE])  # noqa: SLF001


def delivery_count(message: Message) -> int:
    """Return how often a message was delivered to an owner that did not live to return it."""
    return int(message._raw.get(DELIVERY_COUNT, 0))  # noqa: SLF001


def _mark_redelivered(payload: dict[str, Any]) -> None:
    """Say so where kombu does, and Celery reads it."""
    if DELIVERY_COUNT in payload:
        payload.setdefault("headers", {})["redelivered"] = True
        payload["properties"]["delivery_info"]["redelivered"] = True
