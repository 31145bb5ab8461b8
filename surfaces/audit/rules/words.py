"""How facts are told in evidence."""

from collections.abc import Iterable

from surfaces.audit.model import Drain, Route
from surfaces.audit.rules.context import Context


def told_drain(drain: Drain, context: Context) -> str:
    """Return a sentence on a worker: where, which unit and image, which queues, and whether that is sure."""
    queues = ", ".join(sorted(context.queues(drain))) or "queues that are not known"
    how = "" if drain.invocation.queues is not None else " (no -Q)"
    guess = "" if drain.certain else "; by its name or a variable's, not by Celery's command line"
    image = f" of image {drain.image}" if drain.unit.image else ""
    return f"{drain.location}: {drain.surface.kind} {drain.unit.name}{image} drains {queues}{how}{guess}"


def told_route(route: Route) -> str:
    """Return a sentence on a place that sends."""
    task = f" of {route.task}" if route.task else ""
    return f"{route.location}: {route.source}{task} sends to {route.queue}"


def several(names: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(sorted(names))


def duration(seconds: float) -> str:
    """Return seconds for a message."""
    return f"{seconds:g} s"
