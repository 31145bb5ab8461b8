"""kombu's Redis transport, with an atomic fetch: a message is in its list or in the unacked hash, never in neither.

kombu pops a message with BRPOP and stores it as unacked with a second request. In between, the message exists only in
a socket. If the connection drops or the worker is killed at that moment, the task is lost. If only the reply is lost,
the task waits for the visibility timeout, which is hours for some queues.

Here one script pops the message and stores it with its owner. The script cannot block, so BLMOVE does, from the tail
of a list to the same tail: it returns when there is a message, and leaves the list as it is. The script then fetches.

`owners:<scope>` maps a delivery tag to the process that fetched it. Whoever fetches a message again becomes its owner,
so no process restores a message that another one runs. Orphans are messages that this process owns and does not know
of: their reply was lost, or the broker did not get the request to restore them. A new connection restores them before
it fetches anything.

Only the consumer's own connection works like this. Producers, and kombu's other commands, are unchanged.
"""

# mypy: disable-error-code="no-untyped-call"
# (kombu's functions have no types, and its classes are known.)

import functools
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from alphaswarm_runtime.type_aliases import Client, Connection, Message, Pipeline

logger = logging.getLogger("alphaswarm_runtime.transport")

# KEYS: unacked, its index, owners, then the queues in the order to try. ARGV: now, owner.
# It writes before it removes: a server that is out of memory refuses the first write, and the list is unchanged.
# An item that is no message would stop every worker that fetches it, so it goes to the dead letters.
FETCH_SCRIPT = """
for i = 4, #KEYS do
  local item = redis.call('LINDEX', KEYS[i], -1)
  if item then
    local decoded, message = pcall(cjson.decode, item)
    local properties = decoded and type(message) == 'table' and message.properties
    local tag = type(properties) == 'table' and properties.delivery_tag
    local info = type(properties) == 'table' and properties.delivery_info
    if type(tag) ~= 'string' or type(info) ~= 'table' then
      redis.call('LMOVE', KEYS[i], 'dead:' .. KEYS[i], 'RIGHT', 'LEFT')
      return {KEYS[i], false}
    end
    local route = ',' .. cjson.encode(info.exchange) .. ',' .. cjson.encode(info.routing_key)
    redis.call('HSET', KEYS[1], tag, '[' .. item .. route .. ']')
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[3], tag, ARGV[2])
    redis.call('RPOP', KEYS[i])
    return {KEYS[i], item}
  end
end
return false
"""
FETCH, BLOCK = "EVAL", "BLMOVE"
POLLING_INTERVAL = 0.1  # seconds to block on one of several queues: BLMOVE takes a single list
ERROR_BACKOFF = 1.0  # seconds until the next command to a server that replied with an error


@dataclass(frozen=True)
class Owner:
    """This process as the owner of messages.

    `key` is the hash of owners, `name` is unique among all processes, past ones too. `detached` holds the delivery
    tags of messages whose tasks go on although the connection that delivered them is closed.
    """

    key: str
    name: str
    detached: Collection[str]


def install(connection: Connection, owner: Owner) -> None:
    """Make a kombu connection to Redis fetch atomically. It must not be open yet."""
    get_transport_cls = connection.get_transport_cls  # called again when the connection fails over to another address

    @functools.cache
    def with_atomic_channel(transport: type[redis.Transport]) -> type:
        channel = type("Channel", (AtomicChannel, transport.Channel), {"owner": owner})
        return type("Transport", (transport,), {"Channel": channel})

    connection.get_transport_cls = lambda: with_atomic_channel(get_transport_cls())


class OwnedQoS(redis.QoS):
    """The messages that were fetched and not yet acknowledged, each with its owner."""

    def append(self, message: Message, delivery_tag: str) -> None:
        """Add a message to the delivered ones. The script has stored one that it fetched already."""
        if delivery_tag in self.channel.fetched:
            self.channel.fetched.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
            with self.channel.conn_or_acquire() as client:
                client.hset(self.channel.owner.key, delivery_tag, self.channel.owner.name)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message as kombu does, but requeue it only while this process owns it."""
        if requeue:
            self.restore_if_owned(delivery_tag, leftmost=True)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag)

    def restore_unacked(self, client: Client = None) -> None:
        """Restore every delivered message. What fails now becomes an orphan of the next connection."""
        try:
            for tag in self._delivered:
                self.restore_if_owned(tag, client)
        finally:
            self._delivered.clear()

    def restore_if_owned(self, tag: str, client: Client = None, *, leftmost: bool = False) -> None:
        """Return a message to its queue, unless another process owns it by now."""
        owner = self.channel.owner

        def transaction(pipe: Pipeline) -> None:
            owned = bytes_to_str(pipe.hget(owner.key, tag)) == owner.name
            unacked = pipe.hget(self.unacked_key, tag) if owned else None
            pipe.multi()
            if owned:
                self._remove_from_indices(tag, pipe)
            if unacked:
                payload, exchange, routing_key = loads(bytes_to_str(unacked))
                self.channel._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # noqa: SLF001

        with self.channel.conn_or_acquire(client) as connected:
            connected.transaction(transaction, self.unacked_key, owner.key)

    def _remove_from_indices(self, delivery_tag: str, pipe: Pipeline = None) -> Pipeline:
        return super()._remove_from_indices(delivery_tag, pipe).hdel(self.channel.owner.key, delivery_tag)


class AtomicChannel(redis.Channel):
    """A channel that sends FETCH; where the queues are empty it sends BLOCK, and FETCH again."""

    QoS = OwnedQoS
    owner: Owner
    _in_poll: Any  # the connection whose reply is outstanding
    _brpop_sent_at: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.fetched: set[str] = set()  # tags that the script stored and no consumer has got yet
        self._last_command = BLOCK
        self._queues_are_empty = False
        self._may_have_orphans = True
        self._blocked_queue = 0  # counts up: with several queues, each is blocked on in turn
        self._backoff_until = 0.0
        super().__init__(*args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() < self._backoff_until:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if self._may_have_orphans:
            self._restore_orphans()
        if self._queues_are_empty:
            command = self._block_command(queues, timeout or self.brpop_timeout)
        else:
            command = self._fetch_command(queues)
        self._last_command = str(command[0])
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_command(*command)

    def _fetch_command(self, queues: list[str]) -> list[object]:
        keys = [self.unacked_key, self.unacked_index_key, self.owner.key, *queues]
        return [FETCH, FETCH_SCRIPT, len(keys), *keys, time.time(), self.owner.name]

    def _block_command(self, queues: list[str], timeout: float) -> list[object]:
        self._blocked_queue += 1
        queue = queues[self._blocked_queue % len(queues)]
        return [BLOCK, queue, queue, "RIGHT", "RIGHT", timeout if len(queues) == 1 else POLLING_INTERVAL]

    def _brpop_read(self, **options: object) -> bool:
        command = self._last_command
        try:
            reply = self._read_reply(command, **options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._queues_are_empty = command == FETCH and not reply
        if command == BLOCK or not reply:
            raise Empty
        return self._deliver_fetched(*reply)

    def _read_reply(self, command: str, **options: object) -> list[bytes]:
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, command, **options) or []
        except self.connection_errors:
            connection.disconnect()
            raise
        except self.ResponseError as error:
            # Out of memory, read-only after a failover, no permission: it may pass, and tasks are running here.
            logger.warning("the broker refuses to deliver a message: %s", error)
            self._backoff_until = time.monotonic() + ERROR_BACKOFF
            connection.disconnect()
            raise Empty from None

    def _deliver_fetched(self, queue: bytes, item: bytes | None) -> bool:
        name = bytes_to_str(queue)
        if item is None:
            logger.error("an item of queue %s is no message; moved to dead:%s", name, name)
            raise Empty
        self._queue_cycle.rotate(name)
        payload = loads(bytes_to_str(item))
        tag = payload["properties"]["delivery_tag"]
        if self._closing:
            self.qos.restore_if_owned(tag, leftmost=True)
            raise Empty
        self.fetched.add(tag)
        self.connection._deliver(payload, name)  # noqa: SLF001
        if tag in self.fetched:  # its consumer does not acknowledge: a reply to one of the worker's own requests
            self.fetched.discard(tag)
            self.qos._remove_from_indices(tag).execute()  # noqa: SLF001
        return True

    def _restore_orphans(self) -> None:
        known = {*self.qos._delivered, *self.owner.detached}  # noqa: SLF001
        with self.conn_or_acquire() as client:
            for tag, name in client.hgetall(self.owner.key).items():
                if bytes_to_str(name) == self.owner.name and bytes_to_str(tag) not in known:
                    logger.warning("message %s was fetched, but its reply was lost: requeueing it", bytes_to_str(tag))
                    self.qos.restore_if_owned(bytes_to_str(tag), client)
        self._may_have_orphans = False

    def _on_connection_disconnect(self, connection: Client) -> None:
        if self._in_poll is connection and self._last_command == FETCH:
            self._may_have_orphans = True
        super()._on_connection_disconnect(connection)

    def close(self) -> None:
        """Close the channel as kombu does, but do not wait for the reply to BLOCK."""
        if self._in_poll and self._last_command == BLOCK:
            self._in_poll = None
        super().close()
