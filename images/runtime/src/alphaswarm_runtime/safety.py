"""The settings by which no task is lost, laid over the application's own.

The application's settings win, except those named here: each of them closes a hole through which a task is lost, run
twice at once, or hidden from the scaler. Every one that differs from what the application says is reported as
(what, from, to, why). Transport options that are not named are kept.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alphaswarm_runtime.environment import Environment
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.profile import Profile, soft_limit
from alphaswarm_runtime.type_aliases import App, Task

logger = logging.getLogger("alphaswarm_runtime.safety")

CONSUMER = "alphaswarm_runtime.consumer:FleetConsumer"
# A broker that hangs must not hang the event loop for longer than the liveness probe allows.
PATIENCE = {"socket_timeout": 5, "socket_connect_timeout": 5, "health_check_interval": 10}
# Celery gives a process that replaces another 4 s to its first sign, and kills it. One that loads a model takes longer,
# and so does its successor: the first processes are not timed, so the queue stands still from the first replacement on.
# A broker's outage counts too, for nobody hears the sign meanwhile. One that hangs at birth must still be found.
BEGINNING = 60.0
TASK_LAWS = (
    ("acks_late", "task_acks_late", "the scaler counts unacknowledged tasks: this one would run, and end, unseen"),
    ("reject_on_worker_lost", "task_reject_on_worker_lost", "a task whose process died must come back"),
)
FORBIDDEN = {
    "global_keyprefix": "the scaler reads the lists by the queues' own names",
    "sep": "the scaler reads the lists by the queues' own names",
}


@dataclass(frozen=True)
class Override:
    """One setting that the fleet decides. `own` says whether the application had set it itself."""

    what: str
    before: object
    after: object
    why: str
    own: bool

    def __str__(self) -> str:
        source = "the application's" if self.own else "Celery's default"
        return f"{self.what}: {self.before!r} ({source}) -> {self.after!r}: {self.why}"


def apply(app: App, profile: Profile, environment: Environment) -> list[Override]:
    """Lay the fleet's settings over the application's, and return what changed.

    Raises ConfigurationError for a setting that can neither be kept nor be changed behind the senders' back.
    """
    own = dict(app.conf.without_defaults())
    _refuse_forbidden(own.get("broker_transport_options") or {})
    overrides = [*_settings(app, own, profile), *_transport(app, profile, environment), *_tasks(app, own, profile)]
    for override in overrides:
        _set(app, override)
    return overrides


def report(overrides: list[Override]) -> None:
    """One line for each; what merely replaces a default is for those who look for it."""
    for override in overrides:
        logger.log(logging.WARNING if override.own else logging.DEBUG, "override %s", override)


def _refuse_forbidden(options: dict[str, Any]) -> None:
    broken = [f"{key} ({why})" for key, why in FORBIDDEN.items() if options.get(key)]
    if broken:
        raise ConfigurationError(
            f"broker_transport_options of the application has {'; '.join(broken)}. Remove it there: changed only here, "
            "workers and senders would use different lists."
        )


def _settings(app: App, own: dict[str, Any], profile: Profile) -> Iterator[Override]:
    hard = _lowest(app.conf.task_time_limit, profile.time_limit)
    soft = _lowest(app.conf.task_soft_time_limit, soft_limit(hard))
    needed: dict[str, tuple[object, str]] = {
        "task_acks_late": (True, "a killed worker's task must come back, and the scaler counts unacknowledged ones"),
        "task_reject_on_worker_lost": (True, "a task whose process died must come back"),
        "worker_prefetch_multiplier": (1, "a message fetched ahead is hidden from free workers and counts as running"),
        "worker_disable_prefetch": (True, "as worker_prefetch_multiplier, after a reconnection too"),
        "task_time_limit": (hard, "a task must end within the grace period and the visibility timeout"),
        "task_soft_time_limit": (soft, "a task should be told before it is killed"),
        "worker_cancel_long_running_tasks_on_connection_loss": (
            all(row.cancel_on_connection_loss for row in profile.rows.values()),
            "a message lost with its connection is handed out again: its first run must not go on, except where "
            "ending a run is worse",
        ),
        "worker_consumer": (CONSUMER, "returns tasks safely, bounds redelivery, keeps the probes informed"),
        "worker_pool": ("prefork", "only processes can be ended at their time limit"),
        "broker_connection_retry": (True, "an outage of the broker must not end running tasks"),
        "broker_connection_retry_on_startup": (True, "an outage of the broker must not end running tasks"),
        "broker_connection_max_retries": (None, "an outage of the broker must not end running tasks"),
    }
    if soft_shutdowns := [row.soft_shutdown for row in profile.rows.values() if row.soft_shutdown]:
        why = "SIGQUIT; on SIGTERM the fleet's own shutdown does the same with the event loop turning"
        needed["worker_soft_shutdown_timeout"] = (max(soft_shutdowns), why)
        needed["worker_enable_soft_shutdown_on_idle"] = (False, "an idle worker has nothing to wait for")
    if "worker_proc_alive_timeout" not in own:
        needed["worker_proc_alive_timeout"] = (BEGINNING, "one that loads for longer is killed, and so is the next")
    if "task_default_queue" not in own:
        needed["task_default_queue"] = ("default", "no image drains a queue named 'celery'")
    for url in ("broker_read_url", "broker_write_url"):
        if own.get(url) and app.conf.broker_url and own[url] != app.conf.broker_url:
            needed[url] = (app.conf.broker_url, "the environment says where the broker is")
    for what, (after, why) in needed.items():
        before = app.conf[what]
        if before != after:
            yield Override(what, before, after, why, own=what in own)


def _lowest(own: float | None, ours: float) -> float:
    return min(own, ours) if own else ours


def _transport(app: App, profile: Profile, environment: Environment) -> Iterator[Override]:
    options = app.conf.broker_transport_options or {}
    needed: dict[str, tuple[object, str]] = {
        "unacked_key": (profile.unacked_key, "the scaler counts running tasks by it, and queues must not share it"),
        "unacked_index_key": (profile.unacked_index_key, "as unacked_key"),
        "unacked_mutex_key": (profile.unacked_mutex_key, "as unacked_key"),
        "visibility_timeout": (profile.visibility_timeout, "longer than any task and its grace, no longer than needed"),
        "priority_steps": ([0], "priorities spread a queue over several lists, and the scaler reads one"),
        "ack_emulation": (True, "without it a killed worker's task is lost"),
        "unacked_restore_interval": (environment.restore_interval, "how soon an overdue task is found"),
        "unacked_restore_throttle": (1, "how soon an overdue task is found"),
    }
    # What only has to be finite: an application that says so itself knows better.
    needed |= {
        key: (value, "a broker that hangs must not hang the worker")
        for key, value in PATIENCE.items()
        if not options.get(key)
    }
    for key, (after, why) in needed.items():
        if options.get(key) != after:
            yield Override(f"broker_transport_options[{key}]", options.get(key), after, why, own=key in options)


def _tasks(app: App, own: dict[str, Any], profile: Profile) -> Iterator[Override]:
    """What single tasks say of themselves, which would win over the settings.

    A task that says nothing has taken the application's setting when it was bound: it is set anew, but only one
    that differs from that setting has said something of its own.
    """
    for key, setting, why in TASK_LAWS:
        for name, task in _own_tasks(app):
            if not getattr(task, key):
                said_so = bool(own.get(setting))
                yield Override(f"task {name}: {key}", getattr(task, key), True, why, own=said_so)
    for name, task in _own_tasks(app):
        if task.time_limit and task.time_limit > profile.time_limit:
            why = "a task must end within the grace period and the visibility timeout"
            yield Override(f"task {name}: time_limit", task.time_limit, profile.time_limit, why, own=True)


def _own_tasks(app: App) -> Iterator[tuple[str, Task]]:
    return ((name, app.tasks[name]) for name in sorted(app.tasks) if not name.startswith("celery."))


def _set(app: App, override: Override) -> None:
    what, after = override.what, override.after
    if what.startswith("task ") and ": " in what:
        name, key = what.removeprefix("task ").rsplit(": ", 1)
        setattr(app.tasks[name], key, after)
    elif what.startswith("broker_transport_options["):
        key = what.partition("[")[2].rstrip("]")
        app.conf.broker_transport_options = {**(app.conf.broker_transport_options or {}), key: after}
    else:
        setattr(app.conf, what, after)
