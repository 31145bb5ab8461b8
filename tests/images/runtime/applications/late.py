"""A Celery application that changes the worker when a signal says that it starts, as the environment says."""

# mypy: disable-error-code="import-not-found"
# (The applications are on the path only where they run.)

import os
from typing import Any, ClassVar

from celery import Celery, bootsteps, signals
from sample import app as sample

app: Celery = sample
WHEN, WHAT = os.environ["LATE_SIGNAL"], os.environ["LATE_CHANGE"]


def change(sender: Any = None, instance: Any = None, **_kwargs: object) -> None:  # noqa: ANN401 each signal's own
    worker = instance or sender
    match WHAT:
        case "settings":
            app.conf.worker_prefetch_multiplier = 8
            app.conf.task_acks_late = False
            app.conf.task_time_limit = 999_999
            for task in app.tasks.values():
                task.acks_late = False
        case "keyprefix":
            app.conf.broker_transport_options = {"global_keyprefix": "mine-"}
        case "queue":
            app.amqp.queues.select_add(os.environ["LATE_QUEUE"])
        case "worker":
            worker.concurrency = 4
            worker.pool_cls = "solo"
            worker.prefetch_multiplier = 8


class Step(bootsteps.StartStopStep):  # type: ignore[misc]
    """Adds a queue to the consumer, as soon as it has those it was started for."""

    requires: ClassVar = {"celery.worker.consumer.tasks:Tasks"}

    def start(self, parent: Any) -> None:  # noqa: ANN401 celery.worker.consumer.Consumer
        parent.add_task_queue(os.environ["LATE_QUEUE"])


if WHEN == "step":
    app.steps["consumer"].add(Step)
else:
    getattr(signals, WHEN).connect(change)
