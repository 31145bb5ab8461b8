"""A catalogue of the tests' own, with a row of each kind: a test of a rule then needs no queue of the real one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import queues
from queues import EXECUTOR, WORKER, AlwaysOn, Catalogue, Priority, Queue, ScaleDown, hours, minutes, seconds

OWN_ROWS = Catalogue(
    (
        Queue(
            "usual", WORKER, "never at zero in production", replicas=(0, 10), concurrency=4,
            time_limit=minutes(10), grace_period=minutes(11), visibility_timeout=minutes(30),
            always_on=AlwaysOn.PRODUCTION,
        ),
        Queue(
            "awake", WORKER, "never at zero", replicas=(2, 6), concurrency=4,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
            polling_interval=None, cooldown_period=None, priority=Priority.LATENCY, always_on=AlwaysOn.EVERYWHERE,
        ),
        Queue(
            "spared", WORKER, "never interrupted", replicas=(0, 3), concurrency=1,
            time_limit=hours(2), grace_period=seconds(7500), visibility_timeout=hours(3),
            scale_down=ScaleDown.DISABLED, cancel_on_connection_loss=False,
        ),
        Queue(
            "resumes", WORKER, "goes on where it was", replicas=(0, 6), concurrency=4,
            time_limit=hours(7), grace_period=minutes(15), visibility_timeout=hours(8), soft_shutdown=minutes(10),
        ),
        Queue(
            "heavy", EXECUTOR, "computes", replicas=(0, 6), concurrency=2,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
        ),
        Queue(
            "gpu", EXECUTOR, "computes on a GPU", replicas=(0, 1), concurrency=1,
            time_limit=hours(12), grace_period=seconds(2100), visibility_timeout=hours(14), soft_shutdown=minutes(30),
            scale_down=ScaleDown.DISABLED, gpus=1,
        ),
        Queue(
            "Risk.intra_day", EXECUTOR, "has a name as Celery allows it", replicas=(0, 8), concurrency=2,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
        ),
    )
)  # fmt: skip


@contextmanager
def catalogue(rows: Catalogue) -> Iterator[None]:
    """Have another catalogue in every module that holds the committed one."""
    committed = queues.QUEUES
    _exchange(committed, rows)
    try:
        yield
    finally:
        _exchange(rows, committed)  # also in modules that were imported meanwhile


def _exchange(old: Catalogue, new: Catalogue) -> None:
    for module in list(sys.modules.values()):
        if vars(module).get("QUEUES") is old:
            setattr(module, "QUEUES", new)  # noqa: B010 no module's type has it
