"""Celery's remote control, as far as anybody who reaches the broker may use it.

These commands take the place of Celery's own of the same names. A worker consumes no queue but those it was started
for, since its image, its grace period and its concurrency are theirs; it ends as it does on SIGTERM. What is refused
says why in the reply. What `time_limit` sets is obeyed up to the queue's own limit (executions.py). The others stay, as
`rate_limit`.
"""

from collections.abc import Sequence
from typing import Any

from celery.worker import control
from celery.worker.control import control_command, inspect_command

from alphaswarm_runtime.settings.catalogue import load
from alphaswarm_runtime.transport import revocations
from alphaswarm_runtime.transport.inspection import parked_messages
from alphaswarm_runtime.type_aliases import ControlState
from alphaswarm_runtime.worker.context import WorkerContext

Reply = dict[str, Any]


def install() -> None:
    """Register the commands."""
    arguments = [("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)]
    control_command(name="add_consumer", args=arguments)(add_consumer)
    control_command(name="pool_grow", args=[("n", int)])(pool_grow)
    control_command(
        name="time_limit",
        args=[("task_name", str), ("soft", float), ("hard", float)],
        signature="<task_name> <soft_secs> [hard_secs]",
    )(time_limit)
    control_command(name="shutdown")(shutdown)
    control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")(revoke)
    control_command(
        name="revoke_by_stamped_headers", variadic="headers", signature="[key1=value1 [key2=value2 [...]]]"
    )(revoke_by_stamped_headers)
    inspect_command(name="scheduled", alias="dump_schedule")(scheduled)


def add_consumer(state: ControlState, queue: str, *args: object, **options: object) -> Reply:
    """Consume a queue again that this process was started for."""
    profile = _context(state).profile
    if queue in profile.queue_names:
        return dict(control.add_consumer(state, queue, *args, **options))
    row = load().queues.get(queue)
    if row is None:
        reason = f"queue {queue!r} is not in the catalogue"
    elif row.image != profile.image:
        reason = f"queue {queue!r} belongs to image {row.image!r}, and this is {profile.image!r}"
    else:
        reason = f"this process was started for {', '.join(profile.queue_names)}; start one for {queue!r}"
    return dict(control.nok(f"refused: {reason}"))


def pool_grow(state: ControlState, n: int = 1, **options: object) -> Reply:
    """Grow the pool, up to the tasks that this process was started for: the scaler counts on that number."""
    context = _context(state)
    allowed = context.profile.concurrency
    if state.consumer.pool.num_processes + n > allowed:
        return dict(control.nok(f"refused: this process runs {allowed} tasks at a time; the scaler counts on it"))
    return dict(control.pool_grow(state, n, **options))


def time_limit(
    state: ControlState,
    task_name: str | None = None,
    hard: float | None = None,
    soft: float | None = None,
    **_options: object,
) -> Reply:
    """Change a task's time limits, in seconds, for what is received from now on.

    Celery's own changes the task, and not what the worker has made of it at its start.
    """
    reply = dict(control.time_limit(state, task_name, hard, soft))
    state.consumer.update_strategies()
    return reply


def revoke(state: ControlState, task_id: str | Sequence[str], **options: object) -> Reply:
    """Revoke tasks, and keep that for workers that do not run now."""
    context = _context(state)
    with context.redis.client() as client:
        revocations.keep(client, state.app, task_id)
    return dict(control.revoke(state, task_id, **options))


def revoke_by_stamped_headers(state: ControlState, headers: revocations.Headers, **options: object) -> Reply:
    """Revoke tasks by their stamps, and keep that for workers that do not run now."""
    context = _context(state)
    with context.redis.client() as client:
        revocations.keep_stamps(client, state.app, headers)
    return dict(control.revoke_by_stamped_headers(state, headers, **options))


def shutdown(state: ControlState, **_options: object) -> Reply:
    """Shut down as on SIGTERM."""
    _context(state).request_shutdown()
    return dict(control.ok("shutting down: running tasks end first"))


def scheduled(state: ControlState, **_options: object) -> list[dict[str, Any]]:
    """List the tasks of this process' queues that are not due yet, whoever will run them."""
    context = _context(state)
    with context.redis.client() as client:
        return [
            {
                "eta": message.due.isoformat(),
                "priority": message.priority,
                "request": {"id": message.id, "name": message.task, "queue": queue, "args": message.arguments},
            }
            for queue in context.profile.queue_names
            for message in parked_messages(client, queue, SCHEDULED_LIMIT)
        ]


SCHEDULED_LIMIT = 1000  # messages of a queue in one reply


def _context(state: ControlState) -> WorkerContext:
    context: WorkerContext = state.consumer.context
    return context
