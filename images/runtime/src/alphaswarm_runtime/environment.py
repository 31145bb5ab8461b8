"""What the process was told, as text in its environment, turned once into one frozen value.

Every variable, its meaning and its default stand in the README; every violation names the variable.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from alphaswarm_runtime import probe
from alphaswarm_runtime.errors import ConfigurationError

LogFormat = Literal["text", "json"]


@dataclass(frozen=True)
class Tuning:
    """What a stack may tune of a queue, in seconds; None means the catalogue's value."""

    time_limit: int | None = None
    soft_shutdown: int | None = None
    grace_period: int | None = None
    visibility_timeout: int | None = None


@dataclass(frozen=True)
class Environment:
    """The process' own settings; the broker's address is read in broker.py."""

    app: str
    image: str
    queues: tuple[str, ...]  # empty: all of the image's
    concurrency: int | None
    state_dir: Path
    metrics_port: int | None
    metrics_host: str
    log_format: LogFormat
    log_level: str
    max_deliveries: int
    heartbeat: float
    broker_wait: int
    restore_interval: int
    tuning: Tuning


def read(environ: Mapping[str, str]) -> Environment:
    """Read the environment. Raises ConfigurationError for what is missing or malformed."""
    return Environment(
        app=_required(environ, "CELERY_APP", "names the application, for example alphaswarm.tasks.celery_app"),
        image=_required(environ, "ALPHASWARM_IMAGE", "is worker or executor, and set by the image"),
        queues=split(environ.get("ALPHASWARM_QUEUES", "")),
        concurrency=_count(environ, "ALPHASWARM_CONCURRENCY", least=1),
        state_dir=Path(environ.get("ALPHASWARM_STATE_DIR") or probe.DEFAULT_STATE_DIR),
        metrics_port=_count(environ, "ALPHASWARM_METRICS_PORT", least=1),
        metrics_host=environ.get("ALPHASWARM_METRICS_HOST") or "0.0.0.0",  # noqa: S104  the pod's own address
        log_format=_log_format(environ),
        log_level=_log_level(environ),
        max_deliveries=_count(environ, "ALPHASWARM_MAX_DELIVERIES", least=1) or 4,
        heartbeat=_count(environ, "ALPHASWARM_HEARTBEAT", least=1) or 5,
        broker_wait=_or(_count(environ, "ALPHASWARM_BROKER_WAIT", least=0), 60),
        restore_interval=_count(environ, "ALPHASWARM_RESTORE_INTERVAL", least=1) or 10,
        tuning=Tuning(
            time_limit=_count(environ, "ALPHASWARM_TIME_LIMIT", least=1),
            soft_shutdown=_count(environ, "ALPHASWARM_SOFT_SHUTDOWN", least=1),
            grace_period=_count(environ, "ALPHASWARM_GRACE_PERIOD", least=1),
            visibility_timeout=_count(environ, "ALPHASWARM_VISIBILITY_TIMEOUT", least=1),
        ),
    )


def split(text: str) -> tuple[str, ...]:
    """Names separated by commas, each once, in the order given."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _required(environ: Mapping[str, str], key: str, meaning: str) -> str:
    if not (value := environ.get(key)):
        raise ConfigurationError(f"{key} is not set; it {meaning}.")
    return value


def _count(environ: Mapping[str, str], key: str, *, least: int) -> int | None:
    text = environ.get(key)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigurationError(f"{key} is {text!r}; it must be a whole number of at least {least}.")
    return int(text)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


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
