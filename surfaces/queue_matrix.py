"""docs/queues.md: the catalogue as tables, for people who do not read Python."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from queues import IMAGES, QUEUES, AlwaysOn, Queue, ScaleDown
from surfaces.markdown import table

INTRODUCTION: Final = """\
<!-- Generated from queues.py by `make surfaces`; do not edit. -->
# Queues and images

A queue is drained by exactly one image. Durations are seconds, replicas are pods, concurrency is tasks at once in one
pod. A stack may tune the numbers with [`fleet:scaling`](configuration.md#fleetscaling), never the image.

"""
TIMES: Final = """\
A pod gets its grace period to stop: longer than its tasks may run, or than the soft shutdown after which Celery
re-queues what still runs. Redis hands an unacknowledged task out again after the visibility timeout, which is longer
than the grace period and the time limit. Polling and cooldown matter only where a queue may have no pods.

"""
QUEUE_COLUMNS: Final = (
    "queue", "image", "what runs there", "replicas", "concurrency", "priority", "scale-down", "GPUs", "never at zero",
)  # fmt: skip
TIME_COLUMNS: Final = (
    "queue", "time limit", "grace period", "visibility timeout", "soft shutdown", "polling interval", "cooldown period",
    "connection lost",
)  # fmt: skip


def queue_matrix() -> str:
    """Return the text of queues.md."""
    queues = QUEUES.queues
    return (
        "".join(
            (
                INTRODUCTION,
                "## Where each queue runs, and how it scales\n\n",
                table(QUEUE_COLUMNS, map(_queue_row, queues)),
                "## How long its tasks may take\n\n",
                table(TIME_COLUMNS, map(_time_row, queues)),
                TIMES,
                "## What the images are\n\n",
                table(("", *(image.name for image in IMAGES)), _image_rows()),
            )
        ).rstrip("\n")
        + "\n"
    )


def _queue_row(queue: Queue) -> list[str]:
    return [
        f"`{queue.name}`",
        QUEUES.image_of(queue.name).name,
        queue.description,
        f"{queue.min_replicas} to {queue.max_replicas}",
        str(queue.concurrency),
        queue.priority.name.lower(),
        "disabled" if queue.scale_down is ScaleDown.DISABLED else "allowed",
        str(queue.gpus or "-"),
        {AlwaysOn.NOWHERE: "-", AlwaysOn.PRODUCTION: "in production", AlwaysOn.EVERYWHERE: "everywhere"}[
            queue.always_on
        ],
    ]


def _time_row(queue: Queue) -> list[str]:
    times = (
        queue.time_limit, queue.grace_period, queue.visibility_timeout, queue.soft_shutdown,
        queue.polling_interval, queue.cooldown_period,
    )  # fmt: skip
    outcome = "the run ends" if queue.cancel_on_connection_loss else "the run goes on"
    return [f"`{queue.name}`", *map(_seconds, times), outcome]


def _seconds(duration: timedelta | None) -> str:
    return "-" if duration is None else f"{duration.total_seconds():g}"


def _image_rows() -> list[list[str]]:
    facts: dict[str, list[str]] = {
        "queues": [_code(queue.name for queue in QUEUES.of(image)) for image in IMAGES],
        "target of the root Dockerfile": [f"`{image.target}`" for image in IMAGES],
        "standalone folder": [f"`images/{image.standalone_folder}/`" for image in IMAGES],
        "extras": [", ".join(image.extras) for image in IMAGES],
        "directories to write to": [_code(image.directories) for image in IMAGES],
        "build packages": [", ".join(image.build_packages) or "-" for image in IMAGES],
        "concurrency, one process for all queues": [str(image.concurrency) for image in IMAGES],
        "requests": [f"{image.requests.cpu} CPU, {image.requests.memory}" for image in IMAGES],
        "limits": [f"{image.limits.cpu} CPU, {image.limits.memory}" for image in IMAGES],
        "platforms": [", ".join(image.platforms) for image in IMAGES],
        "user": [str(image.uid) for image in IMAGES],
    }
    return [[fact, *values] for fact, values in facts.items()]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
