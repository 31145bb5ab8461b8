"""What a person sees at the end: the fleet as the stack exports it, and how the servers do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from local.services.server import ServerStatus


def fleet(outputs: Mapping[str, Any]) -> str:
    """Return the queue matrix, and what stands where."""
    rows = [("QUEUE", "IMAGE", "DEPLOYMENT", "TASKS A POD", "PODS")]
    rows += [
        (
            name,
            queue["image"],
            queue["deployment"],
            str(queue["concurrency"]),
            f"{queue['minReplicas']}..{queue['maxReplicas']}",
        )
        for name, queue in sorted(outputs["queues"].items(), key=lambda row: (row[1]["image"], row[0]))
    ]
    return "\n".join(
        [
            *table(rows),
            "",
            f"  namespace {outputs['namespace']}, layout {outputs['layout']}, broker {outputs['brokerAddress']}",
            *(f"  {image}: {reference}" for image, reference in sorted(outputs["images"].items())),
        ]
    )


def servers(found: Iterable[ServerStatus]) -> str:
    """One line a server: whether it runs, its process, port and memory."""
    rows = [("SERVER", "STATE", "PID", "PORT", "MIB")]
    rows += [
        (
            server.name,
            "running" if server.running else "stopped",
            _text(server.pid),
            _text(server.port),
            _text(server.memory),
        )
        for server in found
    ]
    return "\n".join(table(rows))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _text(value: object) -> str:
    return "-" if value is None else str(value)
