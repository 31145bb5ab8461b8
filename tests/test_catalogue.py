"""The catalogue once more, in a second hand: a slip of one line in queues.py never moves a queue or a number unseen.

This is the only copy. All other tests derive from the catalogue. Who changes a row changes its line here; the failure
shows the line that the row would have. Durations are seconds, and an image is called by its target.
"""

from dataclasses import fields
from datetime import timedelta
from enum import Enum
from typing import Any

from queues import HEAVY_QUEUES, IMAGES, QUEUES, WORKER_QUEUES, Image, Queue, Resources, Sessions

# image, replicas, concurrency, time limit, grace period, visibility timeout, soft shutdown, polling interval,
# cooldown period, scale down, priority, always on, GPUs, cancel on connection loss; and where a row has them, sessions
# (calendar, pods, before, after, rollouts) and the target wait
ROWS = {
    "default": ("worker", (0, 10), 4, 600, 660, 1800, None, 15, 300, "ALLOWED", "STANDARD", "PRODUCTION", 0, True),
    "paper": ("worker", (2, 6), 4, 3600, 3700, 5400, None, None, None, "ALLOWED", "LATENCY", "EVERYWHERE", 0, True),
    "terraform": ("worker", (0, 3), 1, 7200, 7500, 10800, None, 15, 300, "DISABLED", "STANDARD", "NOWHERE", 0, False),
    "ingestion": (
        "worker",
        (1, 6),
        4,
        25200,
        900,
        28800,
        600,
        None,
        None,
        "ALLOWED",
        "STANDARD",
        "EVERYWHERE",
        0,
        True,
    ),
    "workflows": ("worker", (0, 6), 4, 1800, 1900, 3600, None, 15, 300, "ALLOWED", "STANDARD", "NOWHERE", 0, True),
    "backtest": ("executor", (0, 20), 2, 7200, 7300, 9000, None, 15, 300, "ALLOWED", "BATCH", "NOWHERE", 0, True),
    "training": ("executor", (0, 1), 1, 43200, 2100, 50400, 1800, 30, 600, "DISABLED", "BATCH", "NOWHERE", 1, True),
    "ml": ("executor", (0, 8), 2, 3600, 3700, 5400, None, 15, 300, "ALLOWED", "BATCH", "NOWHERE", 0, True),
    "agents": ("executor", (0, 12), 2, 1800, 1900, 3600, None, 5, 300, "ALLOWED", "STANDARD", "NOWHERE", 0, True),
    "factors": ("executor", (0, 8), 2, 3600, 3700, 5400, None, 15, 300, "ALLOWED", "BATCH", "NOWHERE", 0, True),
    "rag": ("executor", (0, 6), 2, 3600, 3700, 5400, None, 15, 300, "ALLOWED", "BATCH", "NOWHERE", 0, True),
}
RARE = ("sessions", "target_wait")
BOTH = ("otel", "cli", "iceberg", "entity-graph", "dagster-alphaswarm", "compute-dask", "compute-ray")
HEAVY = ("ml", "ml-torch", "ml-forecast", "ml-anomaly", "portfolio")
PLATFORMS = ("linux/amd64", "linux/arm64")
# name, target, extras, directories, build packages, concurrency, requests, limits, platforms, user
IMAGE_ROWS = [
    ("alphaswarm-worker", "worker", BOTH, ("/app/data",), (), 4, ("500m", "1Gi"), ("4", "8Gi"), PLATFORMS, 65532),
    ("alphaswarm-executor", "executor", (*BOTH, *HEAVY), ("/app/data", "/app/models"), ("gfortran", "linux-headers"), 2,
     ("1", "4Gi"), ("8", "16Gi"), PLATFORMS, 65532),
]  # fmt: skip


def plain(value: Any) -> Any:  # noqa: ANN401 any field of a row
    """A field's value as the table writes it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Sessions):
        return tuple(plain(getattr(value, field.name)) for field in fields(value))
    return value.target if isinstance(value, Image) else value


def line(queue: Queue) -> tuple[Any, ...]:
    """A row as the table writes it: every field but its name and what it is for."""
    names = [field.name for field in fields(queue) if field.name not in ("name", "description")]
    names = [name for name in names if name not in RARE or any(getattr(queue, name) for name in RARE)]
    return tuple(plain(getattr(queue, name)) for name in names)


def written(name: str, row: tuple[Any, ...]) -> str:
    """A row as it stands in ROWS."""
    return f"    {name!r}: {row!r},".replace("'", '"')


def test_every_row_of_the_catalogue_is_meant() -> None:
    found = {queue.name: line(queue) for queue in QUEUES.queues}
    wrong = [written(name, row) for name, row in found.items() if ROWS.get(name) != row]
    gone = [f"    {name} is gone: remove its line" for name in ROWS if name not in found]
    assert not wrong + gone, "\n".join(["if queues.py is right, write into ROWS:", *wrong, *gone])
    assert {name for name, row in ROWS.items() if row[0] == "executor"} == HEAVY_QUEUES
    assert {name for name, row in ROWS.items() if row[0] == "worker"} == WORKER_QUEUES


def test_every_image_of_the_catalogue_is_meant() -> None:
    def amounts(value: Any) -> Any:  # noqa: ANN401 any field of an image
        return (value.cpu, value.memory) if isinstance(value, Resources) else value

    found = [tuple(amounts(getattr(image, field.name)) for field in fields(image)) for image in IMAGES]
    assert found == IMAGE_ROWS, "an image would carry more, or have less, than it was split off for"
