"""The messages in flight of one process: what it owns in Redis, and for how long.

A process owns what it fetched, under a name that no other process has or had. It holds a lease for each of its queues
and renews it; when the lease has ended, whoever lives returns its messages to their queues. In a queue whose tasks must
not be interrupted (terraform) no lease decides, only a message's deadline: its owner may be cut off and still at work.

Every function is one request, and takes the client to send it with: the consumer's channels have one, and the parent
process another (broker.RedisConnection).
"""

import secrets
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from alphaswarm_runtime.settings.catalogue import Queue
from alphaswarm_runtime.transport import keys, scripts
from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import Client

LEASE = 30.0  # seconds
FOREIGN_VISIBILITY_TIMEOUT = 3600  # seconds, for a queue that is not the fleet's: the replies to a request of our own


def new_owner() -> str:
    """Return a name for this process that no process had before."""
    return f"{socket.gethostname()}:{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Hold:
    """How long a message must not be started: until `seconds` since 1970, or for `seconds` from now."""

    seconds: float
    from_now: bool = False
    deliveries: int = 0  # to count


@dataclass(frozen=True)
class Ledger:
    """What the process `owner`, which consumes `queues`, does to messages. `lease` is in seconds."""

    queues: Mapping[str, Queue]
    owner: str = field(default_factory=new_owner)
    lease: float = LEASE

    def fetch_command(self, queues: Sequence[str]) -> list[object]:
        """Return the command that fetches one message of the queues, tried in this order within each priority."""
        lists = keys.all_waiting(queues)
        described: list[object] = []
        for name in queues:
            queue = self.queues.get(name)
            timeout = queue.visibility_timeout if queue else FOREIGN_VISIBILITY_TIMEOUT
            described += [name, timeout, int(queue is not None)]
        numbers = [number for _ in keys.PRIORITY_STEPS for number in range(1, len(queues) + 1)]
        return ["EVAL", scripts.FETCH, len(lists), *lists, self.owner, *described, "", *numbers]

    def ack(self, client: Client, queue: str, tag: str) -> bool:
        """Remove a message whose task ended; False where another process owns it by now, and nothing changed."""
        return bool(client.eval(scripts.ACK, 1, keys.unacked(queue), self.owner, tag))

    def put_back(
        self, client: Client, queue: str, tags: Iterable[str], *, deliveries: int = 0, last: bool = False
    ) -> int:
        """Return messages to the front of their queue, or to its end, unless others own them by now.

        Args:
            client: sends the request.
            queue: the queue that they came from.
            tags: their delivery tags.
            deliveries: what to add to their delivery counts.
            last: put them behind all that wait.

        Returns:
            How many this process owned.
        """
        push = "LPUSH" if last else "RPUSH"
        return int(client.eval(scripts.RETURN, 1, keys.unacked(queue), self.owner, deliveries, push, *tags))

    def put_back_others(self, client: Client, queue: str, kept: Collection[str]) -> list[str]:
        """Return the messages that this process owns and does not know of: their reply was lost, or their return."""
        tags = client.eval(scripts.RETURN_OTHERS, 1, keys.unacked(queue), self.owner, 0, *kept)
        return [as_text(tag) for tag in tags]

    def put_back_of(self, client: Client, queue: str, owner: str) -> list[str]:
        """Return the messages of an owner that is known to be dead, and count the delivery."""
        tags = client.eval(scripts.RETURN_OTHERS, 1, keys.unacked(queue), owner, 1)
        client.delete(keys.lease(queue, owner))
        return [as_text(tag) for tag in tags]

    def reclaim(self, client: Client, queue: str) -> list[tuple[str, str]]:
        """Return the messages of all owners whose lease ended, and those past their deadline.

        Returns:
            Delivery tag and owner of each.
        """
        by_lease = self.queues[queue].cancel_on_connection_loss
        found = client.eval(scripts.RECLAIM, 2, keys.unacked(queue), keys.lease(queue, ""), int(by_lease))
        texts = [as_text(item) for item in found]
        return list(zip(texts[::2], texts[1::2], strict=True))

    def begin_lease(self, client: Client) -> None:
        """Begin a lease for every queue, or renew what is there."""
        pipe = client.pipeline(transaction=True)
        for lease in self._leases:
            pipe.set(lease, "1", px=self._milliseconds)
        pipe.execute()

    def renew_lease(self, client: Client) -> bool:
        """Renew the leases; False where one had ended and another process may have returned the messages."""
        return bool(client.eval(scripts.RENEW, len(self._leases), *self._leases, self._milliseconds))

    def end_lease(self, client: Client) -> None:
        """End the leases: this process owns nothing more."""
        client.delete(*self._leases)

    def park(self, client: Client, queue: str, tag: str, hold: Hold) -> bool | None:
        """Put a message aside.

        Returns:
            True when it is parked, False when it is due already, None when another process owns it by now.
        """
        milliseconds, from_now = int(hold.seconds * 1000), int(hold.from_now)
        arguments = [keys.unacked(queue), keys.parked(queue), self.owner, tag, milliseconds, from_now, hold.deliveries]
        reply = client.eval(scripts.PARK, 2, *arguments)
        return None if reply < 0 else bool(reply)

    def dead_letter(self, client: Client, queue: str, tag: str, letter: str) -> bool:
        """Move a message to the dead letters, as the text `letter`; False where another process owns it by now."""
        dead = keys.dead(queue)
        return bool(client.eval(scripts.DEAD, 2, keys.unacked(queue), dead, self.owner, tag, letter))

    @property
    def _leases(self) -> list[str]:
        return [keys.lease(name, self.owner) for name in self.queues]

    @property
    def _milliseconds(self) -> int:
        return int(self.lease * 1000)


@dataclass(frozen=True)
class Counts:
    """How many messages of a queue wait, are in flight, are parked, and are dead letters."""

    waiting: int
    running: int
    parked: int
    dead: int


def count_messages(client: Client, queue: str) -> Counts:
    """Count the messages of a queue."""
    return count_all_messages(client, [queue])[queue]


def count_all_messages(client: Client, queues: Sequence[str]) -> dict[str, Counts]:
    """Count the messages of several queues, in one request."""
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for waiting in keys.all_waiting([queue]):
            pipe.llen(waiting)
        pipe.hlen(keys.unacked(queue))
        pipe.zcard(keys.parked(queue))
        pipe.llen(keys.dead(queue))
    replies = iter(pipe.execute())
    return {
        queue: Counts(sum(next(replies) for _ in keys.PRIORITY_STEPS), next(replies), next(replies), next(replies))
        for queue in queues
    }


def unpark(client: Client, queues: Collection[str]) -> int:
    """Return the parked messages that are due to the front of their queues, and say how many."""
    parked = [keys.parked(name) for name in queues]
    return int(client.eval(scripts.UNPARK, len(parked), *parked)) if parked else 0


def longest_waits(client: Client, queues: Sequence[str]) -> dict[str, float | None]:
    """Return for how many seconds each queue's oldest message has waited; None where none waits.

    Celery's messages do not say when they were sent, so it is reckoned from what was seen in the lists: as exact as
    this is called often, and less than the truth for messages that came before its first call, or came back.
    """
    listed = [(queue, step) for queue in queues for step in keys.PRIORITY_STEPS]
    names = [
        name
        for queue, step in listed
        for name in (keys.taken(queue), keys.arrivals(queue, step), keys.waiting(queue, step))
    ]
    waits = client.eval(scripts.WAITS, len(names), *names) if names else []
    longest: dict[str, float | None] = dict.fromkeys(queues)
    for (queue, _), milliseconds in zip(listed, waits, strict=True):
        if milliseconds >= 0:
            longest[queue] = max(longest[queue] or 0.0, milliseconds / 1000)
    return longest
