"""A Celery application with one entry in its schedule: every eight seconds, or as the environment says."""

import os

from celery import Celery
from celery.beat import PersistentScheduler
from celery.schedules import crontab, solar


class OwnScheduler(PersistentScheduler):  # type: ignore[misc]
    """A scheduler that keeps its times where Celery's does."""


app = Celery("slow")
if "SLOW_CRONTAB" in os.environ:
    SCHEDULE = crontab(os.environ["SLOW_CRONTAB"])
elif "SLOW_SOLAR" in os.environ:
    SCHEDULE = solar(os.environ["SLOW_SOLAR"], 50.1, 8.7)
else:
    SCHEDULE = 8.0
app.conf.beat_schedule = {
    "slow": {
        "task": "sample.note",
        "schedule": SCHEDULE,
        "args": ("slow",),
    }
}
if "SLOW_SCHEDULER" in os.environ:
    app.conf.beat_scheduler = os.environ["SLOW_SCHEDULER"]
