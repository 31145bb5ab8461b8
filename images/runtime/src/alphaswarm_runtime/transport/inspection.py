"""What is in Redis, for people: messages of a queue wherever they are, owners, and lists that nobody reads."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alphaswarm_runtime.transport import keys, scripts
from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import Client

PAGE = 500  # messages read at a time


@dataclass(frozen=True)
class MessageInfo:
    """One message. `fields` is empty where the text is no message; `dead` says when, where and why it became one."""

    text: str
    fields: Mapping[str, Any]

    @property
    def is_message(self) -> bool:
        """Whether a worker could deliver it."""
        return bool(self.fields)

    @property
    def id(self) -> str | None:
        """The task's id."""
        return self._text("id")

    @property
    def task(self) -> str | None:
        """The task's name."""
        return self._text("task")

    @property
    def arguments(self) -> str:
        """The task's arguments, as its sender wrote them for logs."""
        return " ".join(part for name in ("argsrepr", "kwargsrepr") if (part := self._text(name)) not in (None, "{}"))

    @property
    def priority(self) -> int:
        """The priority that its sender gave it; 0 is the highest."""
        return int(self.fields.get("properties", {}).get("priority") or 0)

    @property
    def dead(self) -> Mapping[str, Any]:
        """The header `dead`."""
        return self.headers.get("dead") or {}

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers; empty where there are none."""
        headers = self.fields.get("headers")
        return headers if isinstance(headers, dict) else {}

    def _text(self, header: str) -> str | None:
        value = self.headers.get(header)
        return None if value is None else str(value)


@dataclass(frozen=True)
class ParkedMessage(MessageInfo):
    """A message that is not due yet."""

    due: datetime


@dataclass(frozen=True)
class OwnerInfo:
    """A process that has messages of a queue in flight, and the seconds until its lease ends, None without one."""

    name: str
    messages: int
    lease: float | None


def parse(text: bytes | str) -> MessageInfo:
    """Read a message, or what stands in its place."""
    decoded = as_text(text)
    try:
        fields = json.loads(decoded)
    except ValueError:
        fields = {}
    is_message = isinstance(fields, dict) and isinstance(fields.get("properties"), dict)
    return MessageInfo(decoded, fields if is_message else {})


def parked_messages(client: Client, queue: str, limit: int) -> list[ParkedMessage]:
    """Return the messages that are due first."""
    found = []
    for member, due in client.zrange(keys.parked(queue), 0, limit - 1, withscores=True):
        text = as_text(member).partition("\n")[2]
        found.append(ParkedMessage(text, parse(text).fields, datetime.fromtimestamp(due / 1000, UTC)))
    return found


def dead_letters(client: Client, queue: str) -> Iterator[MessageInfo]:
    """Yield the dead letters, the oldest first."""
    for start in range(0, client.llen(keys.dead(queue)), PAGE):
        for text in reversed(client.lrange(keys.dead(queue), -start - PAGE, -start - 1)):
            yield parse(text)


def oldest_waiting(client: Client, queue: str) -> MessageInfo | None:
    """Return the message that is delivered next."""
    for waiting in keys.all_waiting([queue]):
        if (text := client.lindex(waiting, -1)) is not None:
            return parse(text)
    return None


def messages_by_owner(client: Client, queue: str) -> dict[str, int]:
    """Return how many messages of the queue each owner has in flight."""
    reply = client.eval(scripts.OWNERS, 1, keys.unacked(queue))
    return {as_text(name): int(count) for name, count in zip(reply[::2], reply[1::2], strict=True)}


def owners(client: Client, queue: str) -> list[OwnerInfo]:
    """Return who has messages of the queue in flight."""
    found = []
    for name, count in sorted(messages_by_owner(client, queue).items()):
        left = client.pttl(keys.lease(queue, name))
        found.append(OwnerInfo(name, count, left / 1000 if left >= 0 else None))
    return found


def unserved(client: Client, served: Collection[str]) -> dict[str, int]:
    """Return the lists of Celery messages that no worker of the fleet reads, by queue, with their lengths.

    A sender that was not configured sends to `celery`; a misspelt or retired queue is another. It scans the database.
    """
    found: dict[str, int] = {}
    for key in client.scan_iter(_type="list", count=1000):
        name = as_text(key)
        queue = name.partition(keys.SEP)[0]
        if queue in served or name.startswith("dead:{") or "task" not in parse(client.lindex(key, -1) or "").headers:
            continue
        found[queue] = found.get(queue, 0) + client.llen(key)
    return found
