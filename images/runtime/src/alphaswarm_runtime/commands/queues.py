"""`alphaswarm-runtime queues`: what every queue holds, who runs it, and which lists nobody reads."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.transport import inspection, keys
from alphaswarm_runtime.transport.ledger import count_messages, longest_waits
from alphaswarm_runtime.type_aliases import Client

HEADINGS = ("QUEUE", "IMAGE", "WAITING", "RUNNING", "PARKED", "DEAD", "OLDEST", "NEXT")


def run(client: Client, *, as_json: bool) -> None:
    """Print a table, or JSON."""
    found = read(client)
    sys.stdout.write(f"{json.dumps(found, indent=2, sort_keys=True)}\n" if as_json else as_text(found))


def read(client: Client) -> dict[str, Any]:
    """Return everything, as it is printed as JSON."""
    fleet = catalogue.load().queues
    waits = longest_waits(client, list(fleet))
    return {
        "queues": {
            name: {"image": row.image, "oldest_seconds": waits[name], **_queue(client, name)}
            for name, row in sorted(fleet.items())
        },
        "unserved": inspection.unserved(client, fleet),
    }


def as_text(found: dict[str, Any]) -> str:
    """Return the table, the owners of running messages, and the lists that nobody reads."""
    rows = [HEADINGS, *(_row(name, queue) for name, queue in found["queues"].items())]
    parts = [_table(rows)]
    owners = [
        (name, owner["name"], str(owner["messages"]), "none" if owner["lease"] is None else f"{owner['lease']:.0f} s")
        for name, queue in found["queues"].items()
        for owner in queue["owners"]
    ]
    if owners:
        parts.append(_table([("QUEUE", "OWNER", "RUNNING", "LEASE"), *owners]))
    parts += [f"nobody reads {name!r}: {count} messages\n" for name, count in sorted(found["unserved"].items())]
    return "\n".join(parts)


def _queue(client: Client, name: str) -> dict[str, Any]:
    counts, oldest = count_messages(client, name), inspection.oldest_waiting(client, name)
    return {
        "waiting": {str(step): client.llen(keys.waiting(name, step)) for step in keys.PRIORITY_STEPS},
        "running": counts.running,
        "parked": counts.parked,
        "dead": counts.dead,
        "next": None if oldest is None else {"task": oldest.task, "id": oldest.id},
        "owners": [vars(owner) for owner in inspection.owners(client, name)],
    }


def _row(name: str, queue: dict[str, Any]) -> tuple[str, ...]:
    waiting = queue["waiting"]
    total = sum(waiting.values())
    split = "" if total == waiting["0"] else f" ({'+'.join(str(count) for count in waiting.values())})"
    numbers = (f"{total}{split}", *(str(queue[part]) for part in ("running", "parked", "dead")))
    oldest = "-" if queue["oldest_seconds"] is None else f"{queue['oldest_seconds']:.0f} s"
    return (name, queue["image"], *numbers, oldest, queue["next"]["task"] or "?" if queue["next"] else "-")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )
