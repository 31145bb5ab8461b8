"""A Celery application that uses what Celery offers to change a worker: steps, classes of its own, signals, logging."""

# mypy: disable-error-code="untyped-decorator, import-not-found"
# (Celery's decorator has no types, and the applications are on the path only where they run.)

import logging
import os
import sys
from typing import ClassVar

from celery import Celery, Task, bootsteps, signals
from celery.worker.request import Request
from sample import journal


class OwnRequest(Request):  # type: ignore[misc]
    """Notes in the parent that the task begins."""

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        journal().rpush("journal", "request accepted")
        super().on_accepted(pid, time_accepted)


class OwnTask(Task):  # type: ignore[misc]
    """Notes in the child that it is called."""

    Request = OwnRequest
    abstract = True

    def __call__(self, *args: object, **kwargs: object) -> object:
        journal().rpush("journal", "task called")
        return super().__call__(*args, **kwargs)


class WorkerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of the worker, as a metrics or a watchdog library adds one."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def start(self, _parent: object) -> None:
        journal().rpush("journal", "worker step started")

    def stop(self, _parent: object) -> None:
        journal().rpush("journal", "worker step stopped")


class ConsumerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of the consumer, started again with every connection."""

    requires: ClassVar = {"celery.worker.consumer.tasks:Tasks"}

    def start(self, _parent: object) -> None:
        journal().rpush("journal", "consumer step started")


app = Celery("elaborate", task_cls=OwnTask)
app.steps["worker"].add(WorkerStep)
app.steps["consumer"].add(ConsumerStep)
app.conf.worker_max_tasks_per_child = 2
app.conf.worker_pool = "threads"
app.conf.worker_hijack_root_logger = False


@signals.setup_logging.connect
def log_in_my_own_way(**_kwargs: object) -> None:
    logging.basicConfig(stream=sys.stderr, level="INFO", format="mine: %(message)s", force=True)


@signals.worker_init.connect
def prepare_worker(**_kwargs: object) -> None:
    journal().rpush("journal", "worker init")


@signals.worker_process_init.connect
def prepare_child(**_kwargs: object) -> None:
    journal().rpush("journal", "child init")


@app.task(name="sample.pid")
def pid() -> int:
    return os.getpid()
