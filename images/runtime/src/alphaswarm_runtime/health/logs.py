"""Formats logs as text, or as one JSON object a line with task id, task and queue where a task is concerned.

Celery configures logging in the parent and in each child. Only the formatters of its handlers are replaced, so an
application that configures logging itself keeps its configuration.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from alphaswarm_runtime.settings.environment import LogFormat


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message; task_id, task, queue and error where known."""

    def __init__(self, queue: str | None) -> None:
        super().__init__()
        self._queue = queue

    def format(self, record: logging.LogRecord) -> str:
        """Format the record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= self._task_fields(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)

    def _task_fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields of the task that runs in this child, or that the parent logs about."""
        from celery._state import get_current_task

        task = get_current_task()
        if task is not None and task.request.id:
            info = task.request.delivery_info or {}
            return {"task_id": task.request.id, "task": task.name, "queue": self._queue or info.get("routing_key")}
        data = getattr(record, "data", None)
        if isinstance(data, dict) and "id" in data:
            return {"task_id": data["id"], "task": data.get("name"), "queue": self._queue}
        return {"queue": self._queue} if self._queue else {}


def log_to_stderr(log_format: LogFormat, level: str) -> None:
    """Configure logging for the time before Celery does, in the same format."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter(None))
    else:
        handler.setFormatter(logging.Formatter("[%(asctime)s: %(levelname)s] %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def format_celery_logs(log_format: LogFormat, queue: str | None) -> None:
    """Set the format of Celery's handlers as soon as it makes them, here and in every child.

    Args:
        log_format: `text` keeps Celery's own.
        queue: the queue of every line; None where the process consumes several.
    """
    if log_format != "json":
        return
    from celery import signals

    def set_formatter(logger: logging.Logger | None = None, **_kwargs: object) -> None:
        for handler in logger.handlers if logger else ():
            handler.setFormatter(JsonFormatter(queue))

    signals.after_setup_logger.connect(set_formatter, weak=False)
    signals.after_setup_task_logger.connect(set_formatter, weak=False)
