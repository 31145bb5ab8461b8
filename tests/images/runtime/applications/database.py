"""A Celery application whose schedule stands in a database, as those of Django and SQLAlchemy do: SQLite here.

Like these, it reads the entries again when somebody has edited them, and not when another process only notes a run.
"""

import os
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule

app = Celery("database")
app.conf.beat_scheduler = "database:DatabaseScheduler"


def connect() -> sqlite3.Connection:
    """Open the database, which the test has made."""
    return sqlite3.connect(os.environ["SAMPLE_DATABASE"], isolation_level=None)


class DatabaseEntry(ScheduleEntry):  # type: ignore[misc]
    """An entry whose last run is a column."""

    def __next__(self, _last_run_at: datetime | None = None) -> "DatabaseEntry":
        with closing(connect()) as database:
            database.execute("update entries set last_run_at = ? where name = ?", (time.time(), self.name))
        return read(self.name)[self.name]

    next = __next__


def read(only: str = "") -> dict[str, DatabaseEntry]:
    with closing(connect()) as database:
        rows = database.execute("select name, every, last_run_at from entries").fetchall()
    return {
        name: DatabaseEntry(
            name=name,
            task="sample.note",
            schedule=schedule(every, app=app),
            args=(name,),
            last_run_at=datetime.fromtimestamp(last_run_at, app.timezone),
            app=app,
        )
        for name, every, last_run_at in rows
        if only in ("", name)
    }


class DatabaseScheduler(Scheduler):  # type: ignore[misc]
    """See the module."""

    Entry = DatabaseEntry

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._entries: dict[str, DatabaseEntry] | None = None
        self._edited = 0
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Read the entries."""
        self.get_schedule()

    def get_schedule(self) -> dict[str, Any]:
        """Return the entries, read again when they were edited."""
        with closing(connect()) as database:
            (edited,) = database.execute("select count(*) from edits").fetchone()
        if self._entries is None or edited != self._edited:
            self._entries, self._edited = read(), edited
        return self._entries

    schedule = property(get_schedule)
