"""What this package uses of Celery, kombu and redis-py beyond what they promise, and the versions it was checked for.

A worker checks it before it starts: an application locks its own Celery, and a release in which one of these names is
gone would otherwise fail in the middle of a task.
"""

import importlib
import inspect
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from alphaswarm_runtime.errors import ConfigurationError

logger = logging.getLogger("alphaswarm_runtime.contract")

CHECKED = {"celery": "5.7", "kombu": "5.7", "billiard": "4.3"}
"""The minor version of each package that the tests run with."""


@dataclass(frozen=True)
class Use:
    """Names of a module that are used, and for what. A name is read, set or overridden under that spelling."""

    module: str
    names: tuple[str, ...]
    purpose: str


USES = (
    Use("kombu.transport.redis", ("_brpop_start", "_brpop_read"), "send the fetch, and read its reply"),
    Use("kombu.transport.redis", ("_on_connection_disconnect",), "a lost reply leaves an orphan"),
    Use("kombu.transport.redis", ("_in_poll", "_brpop_sent_at", "_flush_brpop_reauth"), "a command awaits its reply"),
    Use(
        "kombu.transport.redis", ("_queue_cycle", "_closing"), "the order of the queues; a message that comes too late"
    ),
    Use("kombu.transport.virtual.base", ("_delivered", "_deliver", "_raw"), "know, hand on and read messages"),
    Use("kombu.connection", ("get_transport_cls",), "replaced on the consumer's connection"),
    Use("celery.worker.request", ("_on_ack", "on_reject", "acknowledged", "worker_pid"), "cancel, detach, requeue"),
    Use("celery.worker.request", ("emit_retry", "accept_callback", "timeout_callback"), "no RETRY; a task's ends"),
    Use(
        "celery.worker.consumer.consumer",
        ("create_task_handler", "on_unknown_task", "on_unknown_message"),
        "deliveries",
    ),
    Use("celery.worker.consumer.consumer", ("on_invalid_task", "on_decode_error", "strategies"), "deliveries"),
    Use("celery.worker.consumer.consumer", ("ensure_connected", "connection_for_read"), "wait for a broker"),
    Use("celery.worker.consumer.consumer", ("on_connection_error_after_connected",), "end tasks first"),
    Use("celery.worker.consumer.consumer", ("register_with_event_loop", "restart_count", "task_consumer"), "timers"),
    Use("celery.worker.consumer.consumer", ("first_connection_attempt", "connection_errors"), "reconnection"),
    Use("celery.worker.consumer.consumer", ("task_buckets",), "rate limits"),
    Use(
        "celery.worker.consumer.consumer",
        ("on_close", "timer_entries_registered", "timer_entries_before_start"),
        "keep the timers of processes",
    ),
    Use("celery.worker.loops", ("_timer_entries",), "keep the timers of processes"),
    Use("celery.worker.state", ("should_stop", "maybe_shutdown"), "end the worker from the event loop"),
    Use("celery.worker.control", ("add_consumer", "pool_grow", "time_limit", "scheduled"), "replaced commands"),
    Use("celery.worker.consumer.consumer", ("update_strategies",), "time limits that were changed while it runs"),
    Use("celery.concurrency.prefork", ("_pool",), "the pool's processes"),
    Use("billiard.process", ("_config", "authkey", "daemon"), "tasks may start processes of their own"),
    Use("celery.concurrency.asynpool", ("_sentinel_poll", "hub_remove"), "a process that ends during a reconnection"),
    Use("celery.concurrency.asynpool", ("_is_alive",), "whether a process that was given a job still lives"),
    Use(
        "celery.concurrency.asynpool",
        ("_fileno_to_outq", "outqR_fd", "handle_result_event", "maintain_pool"),
        "hear processes; replace dead ones",
    ),
    Use("celery.worker.request", ("_apply_result",), "the pool's job of a request"),
    Use("billiard.pool", ("_write_to", "_scheduled_for", "_accepted", "discard"), "take a job back that has not begun"),
    Use("celery.beat", ("populate_heap", "apply_entry"), "keep when an entry was sent last"),
    Use("celery.apps.beat", ("install_sync_handler",), "end beat without closing connections in a signal's handler"),
    Use("celery.app.base", ("_get_backend",), "guard the result backend of each thread"),
    Use("celery.backends.base", ("_get_task_meta_for",), "read results elsewhere than in the event loop"),
    Use("celery._state", ("get_current_task",), "the task that a log line is about"),
    Use("redis.client", ("parse_response",), "read a reply when the event loop has it"),
)


def check() -> None:
    """Check that every name is there, and warn of versions that were not tested.

    Raises:
        ConfigurationError: names everything that is missing, with the versions.
    """
    if missing := list(_missing()):
        raise ConfigurationError(
            f"this runtime does not fit {_versions()}: {', '.join(missing)} are not there. Lock versions of "
            f"{', '.join(f'{name} {minor}' for name, minor in CHECKED.items())}, or take a newer runtime."
        )
    if untested := [name for name, minor in CHECKED.items() if not version(name).startswith(f"{minor}.")]:
        logger.warning("%s: this runtime was not tested with %s", _versions(), " and ".join(untested))


def _missing() -> Iterator[str]:
    for use in USES:
        try:
            source = inspect.getsource(importlib.import_module(use.module))
        except (ImportError, OSError):
            yield use.module
            continue
        yield from (f"{use.module}.{name}" for name in use.names if not re.search(rf"\b{name}\b", source))


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in CHECKED)
