"""A Celery application with a schedule of its own class beside a usual one."""

import contextlib
import os
import time
from datetime import datetime

from celery import Celery
from celery.schedules import BaseSchedule, schedstate


class OwnSchedule(BaseSchedule):  # type: ignore[misc]
    """Is due every second, and knows nothing else; or not even that."""

    def is_due(self, _last_run_at: datetime) -> schedstate:
        """Say so."""
        if os.environ["SCHEDULES_WAY"] == "raises":
            raise ValueError("no calendar today")
        if os.environ["SCHEDULES_WAY"] == "catches-all":
            with contextlib.suppress(BaseException):
                time.sleep(5)
        return schedstate(True, 1.0)


app = Celery("schedules")
app.conf.beat_schedule = {
    name: {"task": "sample.note", "schedule": schedule, "args": (name,)}
    for name, schedule in (("own", OwnSchedule()), ("usual", 1.0))
}
