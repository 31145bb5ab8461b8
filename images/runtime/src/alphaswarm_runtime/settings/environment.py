"""Parses the environment variables into one frozen value.

The README lists every variable with its meaning and default. Every error names the variable. Times are seconds.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health import probe
from alphaswarm_runtime.settings import queue_scaling
from alphaswarm_runtime.settings.queue_scaling import QueueScaling

LogFormat = Literal["text", "json"]


@dataclass(frozen=True)
class Tuning:
    """What a stack may tune of a queue. None means the catalogue's value."""

    time_limit: int | None = None
    soft_shutdown: int | None = None
    grace_period: int | None = None
    visibility_timeout: int | None = None


@dataclass(frozen=True)
class Environment:
    """The settings of this process, except the URLs (broker.py)."""

    app: str
    image: str
    queues: tuple[str, ...]  # empty: all of the image's
    concurrency: int | None
    max_tasks_per_child: int | None  # None: as the application says
    max_memory_per_child: int | None  # KiB
    state_dir: Path
    metrics_port: int | None
    metrics_host: str
    log_format: LogFormat
    log_level: str
    max_deliveries: int
    heartbeat: float
    broker_wait: int
    result_wait: int
    restore_interval: int
    lease: int
    beat_catch_up: int
    api_access: Path | None  # a folder; None where beat has no access to the Kubernetes API
    scaling: Mapping[str, QueueScaling]  # by queue
    tuning: Tuning


def read(environ: Mapping[str, str]) -> Environment:
    """Parse the environment.

    Raises:
        ConfigurationError: a variable is missing or malformed.
    """
    broker_wait = _integer(environ, "ALPHASWARM_BROKER_WAIT", minimum=0)
    result_wait = _integer(environ, "ALPHASWARM_RESULT_WAIT", minimum=0)
    return Environment(
        app=_required(environ, "CELERY_APP", "names the application, for example alphaswarm.tasks.celery_app"),
        image=_required(environ, "ALPHASWARM_IMAGE", "is worker or executor, and set by the image"),
        queues=split_names(environ.get("ALPHASWARM_QUEUES", "")),
        concurrency=_integer(environ, "ALPHASWARM_CONCURRENCY", minimum=1),
        max_tasks_per_child=_integer(environ, "ALPHASWARM_MAX_TASKS_PER_CHILD", minimum=1),
        max_memory_per_child=_integer(environ, "ALPHASWARM_MAX_MEMORY_PER_CHILD", minimum=1),
        state_dir=Path(environ.get("ALPHASWARM_STATE_DIR") or probe.DEFAULT_STATE_DIR),
        metrics_port=_integer(environ, "ALPHASWARM_METRICS_PORT", minimum=1),
        metrics_host=environ.get("ALPHASWARM_METRICS_HOST") or "0.0.0.0",  # noqa: S104  the pod's own address
        log_format=_log_format(environ),
        log_level=_log_level(environ),
        max_deliveries=_integer(environ, "ALPHASWARM_MAX_DELIVERIES", minimum=1) or 4,
        heartbeat=_integer(environ, "ALPHASWARM_HEARTBEAT", minimum=1) or 5,
        broker_wait=60 if broker_wait is None else broker_wait,
        result_wait=60 if result_wait is None else result_wait,
        beat_catch_up=_integer(environ, "ALPHASWARM_BEAT_CATCH_UP", minimum=1) or 24 * 3600,
        api_access=Path(access) if (access := environ.get("ALPHASWARM_API_ACCESS")) else None,
        scaling=queue_scaling.parse_queue_scaling(environ.get(queue_scaling.VARIABLE)),
        lease=_integer(environ, "ALPHASWARM_LEASE", minimum=2) or 30,
        restore_interval=_integer(environ, "ALPHASWARM_RESTORE_INTERVAL", minimum=1) or 10,
        tuning=Tuning(
            time_limit=_integer(environ, "ALPHASWARM_TIME_LIMIT", minimum=1),
            soft_shutdown=_integer(environ, "ALPHASWARM_SOFT_SHUTDOWN", minimum=1),
            grace_period=_integer(environ, "ALPHASWARM_GRACE_PERIOD", minimum=1),
            visibility_timeout=_integer(environ, "ALPHASWARM_VISIBILITY_TIMEOUT", minimum=1),
        ),
    )


def split_names(text: str) -> tuple[str, ...]:
    """Split names at the commas, and keep each once, in the order given."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _required(environ: Mapping[str, str], key: str, meaning: str) -> str:
    if not (value := environ.get(key)):
        raise ConfigurationError(f"{key} is not set; it {meaning}.")
    return value


def _integer(environ: Mapping[str, str], key: str, *, minimum: int) -> int | None:
    text = environ.get(key)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < minimum:
        raise ConfigurationError(f"{key} is {text!r}; it must be a whole number of at least {minimum}.")
    return int(text)


def _log_format(environ: Mapping[str, str]) -> LogFormat:
    text = environ.get("ALPHASWARM_LOG_FORMAT") or "text"
    if text not in ("text", "json"):
        raise ConfigurationError(f"ALPHASWARM_LOG_FORMAT is {text!r}; it must be text or json.")
    return cast("LogFormat", text)


def _log_level(environ: Mapping[str, str]) -> str:
    text = (environ.get("ALPHASWARM_LOG_LEVEL") or "INFO").upper()
    if text not in logging.getLevelNamesMapping():
        raise ConfigurationError(f"ALPHASWARM_LOG_LEVEL is {text!r}; it must be a level such as INFO or WARNING.")
    return text
