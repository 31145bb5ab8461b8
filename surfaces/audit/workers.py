"""From what runs on a surface to the workers and schedulers in it, with their time limits."""

import re
from collections.abc import Mapping

from surfaces.audit.commands import QUEUES_VARIABLE, FindScript, invocations
from surfaces.audit.model import Beat, Drain, Invocation, Location, Unit
from surfaces.audit.texts import queue_names, seconds

_WORKER_NAME = re.compile(r"(^|[^a-z])(celery|worker|executor)s?(?![a-z])")
_OTHER_NAME = re.compile(
    r"beat|flower|schedule|web|api|nginx|redis|rabbit|postgres|exporter|monitor|rq|migrat|triton|proxy"
)


def of_unit(unit: Unit, find_script: FindScript) -> tuple[list[Drain], list[Beat]]:
    """Return the workers and the schedulers that a unit starts."""
    started = invocations(unit.command, unit.environment, find_script) if unit.command else _by_name(unit)
    drains, beats = [], []
    for invocation, line in started:
        location = unit.location
        if isinstance(unit.command, str):
            location = Location(unit.location.path, unit.location.line + line - 1)
        if invocation.kind == "beat":
            beats.append(Beat(unit, invocation, location))
            continue
        drains.append(_drain(unit, invocation, location))
        if invocation.embedded_beat:
            beats.append(Beat(unit, invocation, location))
    return drains, beats


def _by_name(unit: Unit) -> list[tuple[Invocation, int]]:
    """Return the worker that an image without a command must start, by the unit's name; which queues is not known."""
    name = unit.name.lower()
    if not _WORKER_NAME.search(name) or _OTHER_NAME.search(name):
        return []
    said = [value for key, value in unit.environment.items() if QUEUES_VARIABLE.fullmatch(key) and value]
    queues, unknown = queue_names(said[0]) if said else ((), True)
    return [(Invocation("worker", queues=queues, is_open=unknown or not queues, certain=False), 1)]


def _drain(unit: Unit, invocation: Invocation, location: Location) -> Drain:
    limit = invocation.time_limit
    return Drain(
        unit=unit,
        invocation=invocation,
        time_limit=limit if limit is not None else _variable(unit.environment, "TIME_LIMIT"),
        soft_shutdown=_variable(unit.environment, "SOFT_SHUTDOWN(_TIMEOUT)?"),
        visibility_timeout=_variable(unit.environment, "VISIBILITY_TIMEOUT"),
        location=location,
    )


def _variable(environment: Mapping[str, str], name: str) -> float | None:
    """Return a number of seconds from the variable of that name, whatever stands before it but `SOFT_`."""
    pattern = re.compile(rf"([A-Z0-9]+_)*(?<!SOFT_){name}")
    return next((seconds(value) for key, value in environment.items() if pattern.fullmatch(key)), None)
