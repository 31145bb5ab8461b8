"""Rules on durations: grace periods, hard limits, visibility timeouts, delays."""

from collections.abc import Iterator

from surfaces.audit.model import UNKNOWN, Drain, Location, Severity
from surfaces.audit.python_code import setting_values
from surfaces.audit.rules.context import CLUSTERS, CONTAINERS, MACHINES, Context
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.rules.words import duration, told_drain

DEFAULT_VISIBILITY = 3600.0  # seconds; kombu's visibility_timeout for Redis
_SETTING = {
    "compose": "stop_grace_period",
    "supervisor": "stopwaitsecs",
    "systemd": "TimeoutStopSec",
    "terraform": "stop timeout",
}


def _hard_limit(context: Context, drain: Drain) -> tuple[float, str] | None:
    """Return the longest that a task of a worker may run, and how that is known."""
    limits = []
    if drain.time_limit is not None:
        limits.append((drain.time_limit, f"{drain.location}: hard time limit {duration(drain.time_limit)}"))
    elif setting := context.number("task_time_limit"):
        limits.append((setting[0], f"{setting[1]}: task_time_limit {duration(setting[0])}"))
    for queue in sorted(context.queues(drain)):
        for task in context.tasks_on(queue):
            if task.time_limit:
                text = f"{task.location}: task {task.name} on {queue} has time_limit {duration(task.time_limit)}"
                limits.append((task.time_limit, text))
    return max(limits, default=None)


def _grace(context: Context) -> Iterator[Found]:
    for drain in context.deployed:
        grace = drain.unit.grace
        kind = drain.surface.kind
        if grace is None or kind not in CONTAINERS | MACHINES or (drain.unit.grace_is_default and kind not in CLUSTERS):
            continue
        soft = drain.soft_shutdown or _soft_shutdown(context)
        limit = _hard_limit(context, drain)
        if soft:  # Celery 5.5: what still runs after it is re-queued, so that is what must fit
            limit = (soft, f"soft shutdown {duration(soft)}") if limit is None or soft < limit[0] else limit
        if limit is None or grace >= limit[0]:
            continue
        name = _SETTING.get(kind, "terminationGracePeriodSeconds")
        default = " (not set; that is the default)" if drain.unit.grace_is_default else ""
        yield Found(
            message=f"{drain.unit.name} has {duration(grace)} to stop{default}, its tasks may run {duration(limit[0])}",
            location=drain.location,
            evidence=(f"{name} is {duration(grace)}{default}", limit[1], told_drain(drain, context)),
            queue=min(context.queues(drain), default=None),
            certain=drain.certain,
        )


def _soft_shutdown(context: Context) -> float | None:
    setting = context.number("worker_soft_shutdown_timeout")
    return setting[0] if setting else None


def _visibility(context: Context) -> Iterator[Found]:
    yield from _of_environment(context)
    if context.broker == "amqp":  # RabbitMQ knows no visibility timeout
        return
    explicit = list(_explicit(context))
    for timeout, location in explicit:
        yield from _too_short(context, timeout, location, f"{location}: visibility_timeout {duration(timeout)}")
    unread = any(setting.name == "broker_transport_options" for setting in context.facts.code.settings)
    if not explicit and context.broker == "redis" and not (unread and _is_unread(context)):
        text = f"visibility_timeout is not set; Redis' default is {duration(DEFAULT_VISIBILITY)}"
        yield from _too_short(context, DEFAULT_VISIBILITY, None, text)


def _is_unread(context: Context) -> bool:
    """Whether the transport's options hold something that is not known."""
    options = [setting.value for setting in context.facts.code.settings if setting.name == "broker_transport_options"]
    return any(not isinstance(value, dict) or UNKNOWN in value or "visibility_timeout" in value for value in options)


def _explicit(context: Context) -> Iterator[tuple[float, Location]]:
    for value, location in setting_values(context.facts.code, "broker_transport_options"):
        timeout = value.get("visibility_timeout") if isinstance(value, dict) else None
        if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0:
            yield float(timeout), location


def _too_short(context: Context, timeout: float, location: Location | None, text: str) -> Iterator[Found]:
    limits = [(task.time_limit, task.location, f"time_limit of {task.name}") for task in context.facts.code.tasks]
    if setting := context.number("task_time_limit"):
        limits.append((*setting, "task_time_limit"))
    longest = max(((limit, where, name) for limit, where, name in limits if limit), default=None)
    # By the default alone, only where a task is surely unacknowledged while it runs.
    if longest and longest[0] > timeout and (location or context.acks_late):
        yield Found(
            message=f"visibility timeout {duration(timeout)} is below {longest[2]}, {duration(longest[0])}",
            location=location or longest[1],
            evidence=(text, f"{longest[1]}: {longest[2]} {duration(longest[0])}"),
            related=(longest[1],),
        )
    delays = sorted(
        (delay for delay in context.facts.code.delays if delay.seconds > timeout), key=lambda delay: -delay.seconds
    )
    if delays:
        yield Found(
            message=f"visibility timeout {duration(timeout)} is below a delay of {duration(delays[0].seconds)}",
            location=location or delays[0].location,
            evidence=(text, *(f"{delay.location}: delay of {duration(delay.seconds)}" for delay in delays[:3])),
            queue=delays[0].queue,
            related=tuple(delay.location for delay in delays[:3]),
        )


def _of_environment(context: Context) -> Iterator[Found]:
    for drain in context.deployed:
        timeout, limit = drain.visibility_timeout, drain.time_limit
        if timeout is not None and limit is not None and timeout < limit:
            yield Found(
                message=f"{drain.unit.name}: visibility timeout {duration(timeout)} is below limit {duration(limit)}",
                location=drain.location,
                evidence=(f"{drain.location}: by its variables, {duration(timeout)} and {duration(limit)}",),
                queue=min(context.queues(drain), default=None),
                certain=False,
            )


RULES = (
    Rule(
        "grace-below-hard-limit",
        Severity.ERROR,
        "A worker is killed before the longest task that it may run has ended.",
        "A rollout, a scale-down or a restart kills running tasks: they are lost, or with late acks run again.",
        "Make the grace period longer than the limit, or set worker_soft_shutdown_timeout (Celery 5.5) below it.",
        _grace,
    ),
    Rule(
        "visibility-timeout-too-short",
        Severity.ERROR,
        "The broker hands a task out again while it still waits for its time, or runs.",
        "Redis and SQS give a message to another worker once it was unacknowledged for that long: the task runs twice.",
        "Set visibility_timeout of broker_transport_options above the longest limit and delay.",
        _visibility,
    ),
)
