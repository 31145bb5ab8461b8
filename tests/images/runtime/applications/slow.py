"""A Celery application with one entry in its schedule: every eight seconds, or as the environment says."""

import os

from celery import Celery
from celery.beat import PersistentScheduler
from celery.schedules import crontab


class OwnScheduler(PersistentScheduler):  # type: ignore[misc]
    """A scheduler that keeps its times where Celery's does."""


app = Celery("slow")
app.conf.beat_schedule = {
    "slow": {
        "task": "sample.note",
        "schedule": crontab(os.environ["SLOW_CRONTAB"]) if "SLOW_CRONTAB" in os.environ else 8.0,
        "args": ("slow",),
    }
}
if "SLOW_SCHEDULER" in os.environ:
    app.conf.beat_scheduler = os.environ["SLOW_SCHEDULER"]
