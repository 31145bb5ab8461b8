"""Logs, as text or one JSON object a line, with the task's id and its queue wherever a task is the subject.

Celery sets logging up in the parent and in each child; we only replace the formatters it made, so that the
application's own logging configuration, where it has one, stays in charge.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from alphaswarm_runtime.environment import LogFormat


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and where known task_id, task, queue and error."""

    def __init__(self, queue: str | None) -> None:
        super().__init__()
        self._queue = queue

    def format(self, record: logging.LogRecord) -> str:
        """Turn the record into its line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= self._subject(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)

    def _subject(self, record: logging.LogRecord) -> dict[str, Any]:
        """The task the line is about: the one that runs here, or the one Celery's parent speaks of."""
        from celery._state import get_current_task

        task = get_current_task()
        if task is not None and task.request.id:
            info = task.request.delivery_info or {}
            return {"task_id": task.request.id, "task": task.name, "queue": self._queue or info.get("routing_key")}
        data = getattr(record, "data", None)
        if isinstance(data, dict) and "id" in data:
            return {"task_id": data["id"], "task": data.get("name"), "queue": self._queue}
        return {"queue": self._queue} if self._queue else {}


def early(log_format: LogFormat, level: str) -> None:
    """Log before Celery sets its own logging up, in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter(None))
    else:
        handler.setFormatter(logging.Formatter("[%(asctime)s: %(levelname)s] %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def follow_celery(log_format: LogFormat, queue: str | None) -> None:
    """Give Celery's handlers our format as soon as it makes them, here and in every child."""
    if log_format != "json":
        return
    from celery import signals

    def reformat(logger: logging.Logger | None = None, **_more: object) -> None:
        for handler in logger.handlers if logger else ():
            handler.setFormatter(JsonFormatter(queue))

    signals.after_setup_logger.connect(reformat, weak=False)
    signals.after_setup_task_logger.connect(reformat, weak=False)
