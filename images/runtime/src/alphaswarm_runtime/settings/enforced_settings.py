"""The Celery settings that the fleet enforces, so that no task is lost.

The application's settings win, except those named here. With another value, a task would be lost, run twice at the
same time, or be hidden from the scaler. Each setting that differs from the application's is an `Override`, with its
name, both values and the reason. Transport options that are not named here are kept.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.settings.worker_profile import WorkerProfile, soft_time_limit
from alphaswarm_runtime.transport.keys import PRIORITY_STEPS
from alphaswarm_runtime.type_aliases import App, Task

logger = logging.getLogger("alphaswarm_runtime.settings.enforced_settings")

DEFAULT_QUEUE = "default"
POOL = "prefork"
CONSUMER = "alphaswarm_runtime.worker.consumer:FleetConsumer"
# A broker that hangs must not block the event loop for longer than the liveness probe allows.
SOCKET_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5, "health_check_interval": 10}
# Celery kills a process that replaces another when it does not report within 4 s. One that loads a model takes longer,
# and so does its successor: the first processes have no such limit, so the queue stands still from the first
# replacement on. An outage of the broker counts too, since nobody reads the report meanwhile. A process that hangs at
# its start must still be found.
PROC_ALIVE_TIMEOUT = 60.0
ENFORCED_TASK_OPTIONS = (
    ("acks_late", "task_acks_late", "the scaler counts unacknowledged tasks: this one would run, and end, unseen"),
    ("reject_on_worker_lost", "task_reject_on_worker_lost", "a task whose process died must be redelivered"),
)
# How often, and for how many seconds, the backend itself tries; results.py goes on.
RESULT_RETRIES, RESULT_TIMEOUT = 10, 10
FORBIDDEN_TRANSPORT_OPTIONS = {
    "global_keyprefix": "the scaler reads the lists by the queues' own names",
    "sep": "the scaler reads the lists by the queues' own names",
}


@dataclass(frozen=True)
class Override:
    """A setting that the fleet enforces. `set_by_application` says whether the application had set it."""

    name: str
    old: object
    new: object
    reason: str
    set_by_application: bool

    def __str__(self) -> str:
        source = "the application's" if self.set_by_application else "Celery's default"
        return f"{self.name}: {self.old!r} ({source}) -> {self.new!r}: {self.reason}"


def apply(app: App, profile: WorkerProfile, *, consumes: bool = True) -> list[Override]:
    """Enforce the settings on the application.

    Args:
        app: the application.
        profile: the queues, and their limits.
        consumes: whether this process consumes the queues, or is to say what one that does would have.

    Returns:
        What changed.

    Raises:
        ConfigurationError: a setting that can neither be kept nor be changed for the workers alone.
    """
    _refuse_forbidden(app.conf.broker_transport_options or {})
    _refuse_worker_direct(app)
    overrides = [
        *_setting_overrides(app, profile),
        *_transport_overrides(app),
        *_result_overrides(app),
        *_task_overrides(app, profile),
    ]
    for override in overrides:
        _set(app, override)
    if consumes:
        _refuse_unfit_queues(app, profile)  # Celery makes the queues when they are asked for, from the settings by then
        overrides += _queue_overrides(app, profile)
    return overrides


def log(overrides: list[Override]) -> None:
    """Log a line for each: a warning where the application had set it, else for debugging."""
    for override in overrides:
        logger.log(logging.WARNING if override.set_by_application else logging.DEBUG, "override %s", override)


def _refuse_forbidden(options: dict[str, Any]) -> None:
    forbidden = [f"{key} ({reason})" for key, reason in FORBIDDEN_TRANSPORT_OPTIONS.items() if options.get(key)]
    if (steps := options.get("priority_steps")) and not {0} <= set(steps) <= set(PRIORITY_STEPS):
        forbidden.append(f"priority_steps (the scaler counts the steps {', '.join(map(str, PRIORITY_STEPS))})")
    if forbidden:
        raise ConfigurationError(
            f"broker_transport_options of the application has {'; '.join(forbidden)}. Remove it there: changed only "
            "here, workers and producers would use different lists."
        )


def _refuse_worker_direct(app: App) -> None:
    if app.conf.worker_direct:
        raise ConfigurationError(
            "the application's worker_direct is True: each worker has a queue of its own, which no scaler counts and "
            "whose tasks are lost with their pod. Leave that setting out, and send to the queues of the catalogue."
        )


def _refuse_unfit_queues(app: App, profile: WorkerProfile) -> None:
    names, queues = profile.queue_names, app.amqp.queues
    if fanout := [name for name in names if name in queues and queues[name].exchange.type == "fanout"]:
        raise ConfigurationError(
            f"the application's task_queues bind {', '.join(fanout)} to a fanout exchange: each worker would run every "
            "task, and what is sent while none runs is lost. Bind it to a direct or topic exchange."
        )
    missing = [name for name in names if name not in queues]
    if missing and not app.conf.task_create_missing_queues:
        raise ConfigurationError(
            f"the application's task_queues lack {', '.join(missing)}, and its task_create_missing_queues is False: "
            "add what is missing, or leave that setting out."
        )


def _setting_overrides(app: App, profile: WorkerProfile) -> Iterator[Override]:
    hard = _lowest(app.conf.task_time_limit, profile.time_limit)
    soft = _lowest(app.conf.task_soft_time_limit, soft_time_limit(hard))
    enforced: dict[str, tuple[object, str]] = {
        "task_acks_late": (
            True,
            "a killed worker's task must be redelivered, and the scaler counts unacknowledged ones",
        ),
        "task_reject_on_worker_lost": (True, "a task whose process died must be redelivered"),
        "worker_prefetch_multiplier": (1, "a prefetched message is hidden from free workers and counts as running"),
        "worker_disable_prefetch": (True, "as worker_prefetch_multiplier, after a reconnection too"),
        "task_time_limit": (hard, "a task must end within the grace period and the visibility timeout"),
        "task_soft_time_limit": (soft, "a task should get SoftTimeLimitExceeded before it is killed"),
        "worker_cancel_long_running_tasks_on_connection_loss": (
            all(queue.cancel_on_connection_loss for queue in profile.queues.values()),
            "a message lost with its connection is redelivered: its task must not go on, except where ending it is "
            "worse",
        ),
        "worker_consumer": (CONSUMER, "requeues tasks safely, limits redelivery, updates the probes' files"),
        "worker_pool": (POOL, "only processes can be ended at their time limit"),
        "worker_pool_restarts": (False, "a restart ends running tasks"),
        "broker_connection_retry": (True, "an outage of the broker must not end running tasks"),
        "broker_connection_retry_on_startup": (True, "an outage of the broker must not end running tasks"),
        "broker_connection_max_retries": (None, "an outage of the broker must not end running tasks"),
    }
    for name in ("max_tasks_per_child", "max_memory_per_child"):
        if (limit := getattr(profile, name)) is not None:
            enforced[f"worker_{name}"] = (limit, f"ALPHASWARM_{name.upper()} says so")
    if soft_shutdowns := [queue.soft_shutdown for queue in profile.queues.values() if queue.soft_shutdown]:
        reason = "for SIGQUIT; on SIGTERM the fleet's consumer does the same without blocking the event loop"
        enforced["worker_soft_shutdown_timeout"] = (max(soft_shutdowns), reason)
        enforced["worker_enable_soft_shutdown_on_idle"] = (False, "an idle worker has nothing to wait for")
    if not _is_set(app, "worker_proc_alive_timeout"):
        enforced["worker_proc_alive_timeout"] = (
            PROC_ALIVE_TIMEOUT,
            "a process that loads for longer is killed, and so is the next",
        )
    if not _is_set(app, "task_default_queue"):
        enforced["task_default_queue"] = (_default_queue(), "no image consumes a queue named 'celery'")
    for url in ("broker_read_url", "broker_write_url"):
        if _is_set(app, url) and app.conf.broker_url and app.conf[url] != app.conf.broker_url:
            enforced[url] = (app.conf.broker_url, "the environment says where the broker is")
    for name, (new, reason) in enforced.items():
        old = app.conf[name]
        if old != new:
            yield Override(name, old, new, reason, set_by_application=_is_set(app, name))


def _is_set(app: App, name: str) -> bool:
    """Return whether the application sets it, under this name, its old one, or with a namespace before it."""
    return bool(app.conf.value_set_for(name))


def _default_queue() -> str:
    """Return the queue of tasks without a route, for an application that names none."""
    queues = catalogue.load().queues
    if DEFAULT_QUEUE not in queues:
        raise ConfigurationError(
            "The application sets no task_default_queue. A task without a route would wait for ever in 'celery', which "
            f"no image consumes. Set it to one of {', '.join(sorted(queues))}."
        )
    return DEFAULT_QUEUE


def _lowest(application_limit: float | None, fleet_limit: float) -> float:
    return min(application_limit, fleet_limit) if application_limit else fleet_limit


def _transport_overrides(app: App) -> Iterator[Override]:
    options = app.conf.broker_transport_options or {}
    enforced: dict[str, tuple[object, str]] = {
        "ack_emulation": (True, "without it a killed worker's task is lost"),
    }
    # These only have to be finite: an application that sets them itself knows better.
    enforced |= {
        key: (value, "a broker that hangs must not hang the worker")
        for key, value in SOCKET_OPTIONS.items()
        if not options.get(key)
    }
    for key, (new, reason) in enforced.items():
        if options.get(key) != new:
            name = f"broker_transport_options[{key}]"
            yield Override(name, options.get(key), new, reason, set_by_application=key in options)


def _result_overrides(app: App) -> Iterator[Override]:
    """Yield what makes a write to the result store end, where the application has not said when."""
    reason = "a result store that hangs must not hold a worker"
    finite: dict[str, object] = {
        "redis_socket_timeout": SOCKET_OPTIONS["socket_timeout"],
        "redis_socket_connect_timeout": SOCKET_OPTIONS["socket_connect_timeout"],
        "result_backend_max_retries": RESULT_RETRIES,
    }
    for name, new in finite.items():
        if not _is_set(app, name):
            yield Override(name, app.conf[name], new, reason, set_by_application=False)
    policy = (app.conf.result_backend_transport_options or {}).get("retry_policy") or {}
    if "timeout" not in policy:
        new_policy = {**policy, "timeout": RESULT_TIMEOUT}
        name = "result_backend_transport_options[retry_policy]"
        yield Override(name, policy or None, new_policy, reason, set_by_application=False)


def _task_overrides(app: App, profile: WorkerProfile) -> Iterator[Override]:
    """Yield the options of single tasks, which would win over the settings.

    A task without an option of its own got the application's setting when it was bound. It is changed as well, but
    counts as set by the application only where it differs from that setting.
    """
    for option, setting, reason in ENFORCED_TASK_OPTIONS:
        for name, task in _application_tasks(app):
            if not getattr(task, option):
                set_by_task = _is_set(app, setting) and bool(app.conf[setting])
                yield Override(f"task {name}: {option}", getattr(task, option), True, reason, set_by_task)
    for name, task in _application_tasks(app):
        if task.time_limit and task.time_limit > profile.time_limit:
            reason = "a task must end within the grace period and the visibility timeout"
            yield Override(f"task {name}: time_limit", task.time_limit, profile.time_limit, reason, True)


def _queue_overrides(app: App, profile: WorkerProfile) -> Iterator[Override]:
    """Yield the options of the queues themselves, once they are changed."""
    for name in profile.queue_names:
        queue = app.amqp.queues.get(name)
        if queue is not None and queue.no_ack:
            queue.no_ack = False
            reason = "a killed worker's task must be redelivered, and the scaler counts unacknowledged ones"
            yield Override(f"queue {name}: no_ack", True, False, reason, set_by_application=True)


def _application_tasks(app: App) -> Iterator[tuple[str, Task]]:
    return ((name, app.tasks[name]) for name in sorted(app.tasks) if not name.startswith("celery."))


def _set(app: App, override: Override) -> None:
    if override.name.startswith("task ") and ": " in override.name:
        task, option = override.name.removeprefix("task ").rsplit(": ", 1)
        setattr(app.tasks[task], option, override.new)
    elif override.name.endswith("]"):
        options, _, key = override.name.removesuffix("]").partition("[")
        app.conf[options] = {**(app.conf[options] or {}), key: override.new}
    else:
        setattr(app.conf, override.name, override.new)
