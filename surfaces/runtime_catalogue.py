"""The images' copy of the catalogue: what a worker must know to drain its queues and to refuse all others.

Durations are whole seconds. The reader is `alphaswarm_runtime.settings.catalogue`, which refuses keys it does not know.
The images' runtime is a package of its own, so it has a copy too of the module that reads an exchange's calendar.
"""

import json
from datetime import timedelta
from inspect import getsource
from typing import Any

from config import exchange_calendar
from queues import IMAGES, QUEUES, TIME_CONSTRAINTS, Image, Queue


def runtime_catalogue() -> str:
    """Return the text of catalogue.json. JSON has no comments, so the file cannot say what it is generated from."""
    catalogue = {
        "images": {image.target: _image(image) for image in IMAGES},
        "queues": {queue.name: _queue(queue) for queue in QUEUES.queues},
        "time_constraints": [vars(constraint) for constraint in TIME_CONSTRAINTS],
    }
    return json.dumps(catalogue, indent=2, sort_keys=True) + "\n"


def runtime_exchange_calendar() -> str:
    """Return the text of the images' copy of config/exchange_calendar.py."""
    return (
        f"# Generated from config/exchange_calendar.py by `make surfaces`; do not edit.\n{getsource(exchange_calendar)}"
    )


def _image(image: Image) -> dict[str, Any]:
    queues = sorted(queue.name for queue in QUEUES.of(image))
    return {"name": image.name, "queues": queues, "concurrency": image.concurrency}


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "image": QUEUES.image_of(queue.name).target,
        "concurrency": queue.concurrency,
        "time_limit": _seconds(queue.time_limit),
        "grace_period": _seconds(queue.grace_period),
        "visibility_timeout": _seconds(queue.visibility_timeout),
        "soft_shutdown": None if queue.soft_shutdown is None else _seconds(queue.soft_shutdown),
        "cancel_on_connection_loss": queue.cancel_on_connection_loss,
    }


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
