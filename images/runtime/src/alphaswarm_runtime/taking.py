"""How a message gets from its list in Redis to this process: in one step, and never through nobody's hands.

Kombu takes a message with BRPOP and writes it down as unacknowledged in a second request. In between it is in a
socket only: a connection that drops or a worker that is killed right then loses the task for ever, and one whose
answer alone is lost leaves it to the visibility timeout, which is hours for some queues. So here one script takes the
message and writes it down, together with who took it. Nothing is taken by waiting: BLMOVE from the end of a list to
the same end blocks until there is a message and leaves it where it is, like a bell.

What this process took and knows nothing of (the answer was lost, or the broker did not hear that it came back) it
returns to its queue before it takes anything over a new connection. `owners:<scope>` maps delivery tag to process;
whoever takes a message again becomes its owner, so that nobody gives back what is another's.

Only the consumer's own connection works like this; senders, and kombu's other commands, are as they were.
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

logger = logging.getLogger("alphaswarm_runtime.taking")

# KEYS: unacked, its index, owners, then the queues in the order to look. ARGV: now, owner.
# It writes before it removes: a server that is out of memory refuses the first write, and the list is untouched.
# A text that is no message would stop every worker that takes it: it goes to the dead ones.
TAKE = """
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
    local way = ',' .. cjson.encode(info.exchange) .. ',' .. cjson.encode(info.routing_key)
    redis.call('HSET', KEYS[1], tag, '[' .. item .. way .. ']')
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[3], tag, ARGV[2])
    redis.call('RPOP', KEYS[i])
    return {KEYS[i], item}
  end
end
return false
"""
TAKING, WAITING = "EVAL", "BLMOVE"
BETWEEN_QUEUES = 0.1  # seconds to wait at one of several queues: there is no bell for all of them
REFUSED = 1.0  # seconds to leave a server alone that answers with an error


@dataclass(frozen=True)
class Owner:
    """This process as the owner of messages: `name` is like no other's, earlier or later.

    `held` are the tags of messages whose tasks go on although the connection they came by is gone.
    """

    key: str
    name: str
    held: Collection[str]


def install(connection: Connection, owner: Owner) -> None:
    """Make a kombu connection to Redis, not yet opened, take messages in one step."""
    resolve = connection.get_transport_cls  # asked again when the connection fails over to another address

    @functools.cache
    def taking(transport: type[redis.Transport]) -> type:
        channel = type("Channel", (TakingChannel, transport.Channel), {"owner": owner})
        return type("Transport", (transport,), {"Channel": channel})

    connection.get_transport_cls = lambda: taking(resolve())


class OwnersQoS(redis.QoS):
    """The messages taken and not yet acknowledged, each with its owner."""

    def append(self, message: Message, delivery_tag: str) -> None:
        """Remember a message; the script has written it down already."""
        if delivery_tag in self.channel.taken:
            self.channel.taken.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
            with self.channel.conn_or_acquire() as client:
                client.hset(self.channel.owner.key, delivery_tag, self.channel.owner.name)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Kombu's, for a message that is still ours."""
        if requeue:
            self.give_back(delivery_tag, leftmost=True)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag)

    def restore_unacked(self, client: Client = None) -> None:
        """Give everything back; what fails now is given back over the next connection."""
        try:
            for tag in self._delivered:
                self.give_back(tag, client)
        finally:
            self._delivered.clear()

    def give_back(self, tag: str, client: Client = None, *, leftmost: bool = False) -> None:
        """Return a message to its queue, unless it is another's by now."""
        owner = self.channel.owner

        def transaction(pipe: Pipeline) -> None:
            ours = bytes_to_str(pipe.hget(owner.key, tag)) == owner.name
            kept = pipe.hget(self.unacked_key, tag) if ours else None
            pipe.multi()
            if ours:
                self._remove_from_indices(tag, pipe)
            if kept:
                payload, exchange, routing_key = loads(bytes_to_str(kept))
                self.channel._do_restore_message(payload, exchange, routing_key, pipe, leftmost)  # noqa: SLF001

        with self.channel.conn_or_acquire(client) as connected:
            connected.transaction(transaction, self.unacked_key, owner.key)

    def _remove_from_indices(self, delivery_tag: str, pipe: Pipeline = None) -> Pipeline:
        return super()._remove_from_indices(delivery_tag, pipe).hdel(self.channel.owner.key, delivery_tag)


class TakingChannel(redis.Channel):
    """A channel that asks (TAKING), waits for the bell when there is nothing (WAITING), and asks again."""

    QoS = OwnersQoS
    owner: Owner
    _in_poll: Any  # the connection that owes an answer
    _brpop_sent_at: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.taken: set[str] = set()
        self._asked = WAITING
        self._empty = False
        self._unsure = True  # whether there may be messages of ours that we know nothing of
        self._turn = 0
        self._not_before = 0.0
        super().__init__(*args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() < self._not_before:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        if self._unsure:
            self._give_back_unknown()
        command = self._wait(queues, timeout or self.brpop_timeout) if self._empty else self._take(queues)
        self._asked = str(command[0])
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_command(*command)

    def _take(self, queues: list[str]) -> list[object]:
        keys = [self.unacked_key, self.unacked_index_key, self.owner.key, *queues]
        return [TAKING, TAKE, len(keys), *keys, time.time(), self.owner.name]

    def _wait(self, queues: list[str], timeout: float) -> list[object]:
        self._turn += 1
        queue = queues[self._turn % len(queues)]
        return [WAITING, queue, queue, "RIGHT", "RIGHT", timeout if len(queues) == 1 else BETWEEN_QUEUES]

    def _brpop_read(self, **options: object) -> bool:
        asked = self._asked
        try:
            reply = self._reply(asked, **options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._empty = asked == TAKING and not reply
        if asked == WAITING or not reply:
            raise Empty
        return self._hand_on(*reply)

    def _reply(self, asked: str, **options: object) -> list[bytes]:
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, asked, **options) or []
        except self.connection_errors:
            connection.disconnect()
            raise
        except self.ResponseError as error:
            # Out of memory, read-only after a failover, no permission: it may pass, and tasks are running here.
            logger.warning("the broker gives no message, it says: %s", error)
            self._not_before = time.monotonic() + REFUSED
            connection.disconnect()
            raise Empty from None

    def _hand_on(self, queue: bytes, item: bytes | None) -> bool:
        name = bytes_to_str(queue)
        if item is None:
            logger.error("what stood in queue %s is no message, and was moved to dead:%s", name, name)
            raise Empty
        self._queue_cycle.rotate(name)
        payload = loads(bytes_to_str(item))
        tag = payload["properties"]["delivery_tag"]
        if self._closing:
            self.qos.give_back(tag, leftmost=True)
            raise Empty
        self.taken.add(tag)
        self.connection._deliver(payload, name)  # noqa: SLF001
        if tag in self.taken:  # its consumer acknowledges nothing: an answer to a question of the worker's own
            self.taken.discard(tag)
            self.qos._remove_from_indices(tag).execute()  # noqa: SLF001
        return True

    def _give_back_unknown(self) -> None:
        known = {*self.qos._delivered, *self.owner.held}  # noqa: SLF001
        with self.conn_or_acquire() as client:
            for tag, name in client.hgetall(self.owner.key).items():
                if bytes_to_str(name) == self.owner.name and bytes_to_str(tag) not in known:
                    logger.warning("message %s was ours without our knowing: it goes back", bytes_to_str(tag))
                    self.qos.give_back(bytes_to_str(tag), client)
        self._unsure = False

    def _on_connection_disconnect(self, connection: Client) -> None:
        if self._in_poll is connection and self._asked == TAKING:
            self._unsure = True
        super()._on_connection_disconnect(connection)

    def close(self) -> None:
        """Kombu's, without waiting for a bell."""
        if self._in_poll and self._asked == WAITING:
            self._in_poll = None
        super().close()
