"""The tasks of this process, from the pool's `apply_async` until their messages are acknowledged.

Every task passes through the pool's `apply_async`, whatever its request class. The callbacks it is given run in the
parent for every end a task can have, also when its process dies. So this is where time limits are capped (a producer
may ask for longer ones) and ends are observed.
"""

import functools
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry

from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.settings.worker_profile import WorkerProfile, soft_time_limit
from alphaswarm_runtime.transport.channel import Consuming, queue_of
from alphaswarm_runtime.type_aliases import App, ExceptionInfo, Message, Pool, PoolJob, PoolProcess, Request
from alphaswarm_runtime.worker import pool_descriptors, processes

Callback: TypeAlias = Callable[..., Any]  # one of those that a request gives to the pool
Options: TypeAlias = dict[str, Any]

STATE_BY_EXCEPTION: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (Retry, "retried"),
    (Ignore, "ignored"),
    (Reject, "rejected"),
    ((WorkerLostError, SystemExit, KeyboardInterrupt), "lost"),  # its process reports these two, and ends
    (TimeLimitExceeded, "timeout"),
    (Terminated, "ended"),
)
FAILED = "failed"
BLAMED_STATES = ("lost", "timeout")
JOIN_TIMEOUT = 2.0  # seconds


class TaskMemoryError(Exception):
    """A task raised MemoryError."""


@dataclass(eq=False)
class Execution:
    """One start of one task.

    `state` is empty until the task ends. `detached` says that the connection which delivered it closed before that.
    """

    request: Request
    queue: str
    started_at: float  # CLOCK_MONOTONIC
    state: str = ""
    detached: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether its process has said that it began; it does so before the task's first step."""
        return self.request.worker_pid is not None

    @property
    def process_id(self) -> int | None:
        """The process that runs it, or was given it and has not said so; None while the pool still has it."""
        if self.has_begun:
            return int(self.request.worker_pid)
        process = self.job and _process_of(self.job)
        return process.pid if process and process._is_alive() else None  # noqa: SLF001

    @property
    def job(self) -> PoolJob | None:
        """The pool's job; None before it has one."""
        reference = self.request._apply_result  # noqa: SLF001
        return reference and reference()

    @property
    def message(self) -> Message:
        """The kombu message. Its delivery tag stays the same, however often it is delivered."""
        return self.request.message


class ExecutionTracker:
    """The executions whose messages are not acknowledged yet."""

    def __init__(self, app: App, profile: WorkerProfile, consuming: Consuming, metrics: Metrics) -> None:
        self._app = app
        self._profile = profile
        self._consuming = consuming
        self._metrics = metrics
        self._executions: dict[int, Execution] = {}  # by the id() of the request

    def wrap_pool(self, pool: Pool) -> None:
        """Wrap the pool's `apply_async`. Do it before the consumer makes its strategies, which keep a reference."""
        pool.apply_async = functools.partial(self._apply_async, pool.apply_async)

    def running(self) -> list[Execution]:
        """Return the executions whose task has not ended."""
        return [execution for execution in self._executions.values() if not execution.state]

    def cancel(self, executions: list[Execution], pool: Pool) -> None:
        """Terminate the tasks and every process they started. No task becomes a failure, no message is acknowledged."""
        # Also of those that have not begun: Celery forgets them, and their processes would run them all the same.
        own = filter(None, [execution.process_id for execution in executions])
        pids = [pid for process_id in own for pid in processes.process_tree(process_id)]
        for execution in executions:
            # No RETRY state: it would need the result backend, which may be down with the broker.
            execution.request.cancel(pool, emit_retry=False)
            self._record_end(execution, "returned")
            self._executions.pop(id(execution.request), None)
        unseen = [execution.job for execution in executions if not execution.has_begun and execution.job is not None]
        processes.terminate(pids)
        _forget(unseen, pool)

    def hear(self, pool: Pool) -> None:
        """Handle what the pool's processes have said by now: which tasks began, and which ended."""
        if not self.running():  # and nothing has been, where the pool is not part of the event loop yet
            return
        pool_descriptors.forget_dead(pool)
        poll = select.poll()
        for descriptor in pool._pool._fileno_to_outq:  # noqa: SLF001
            poll.register(descriptor, select.POLLIN)
        for descriptor, _event in poll.poll(0):
            pool._pool.handle_result_event(descriptor)  # noqa: SLF001

    def _apply_async(self, apply_async: Callback, target: object, *args: object, **options: object) -> object:
        request: Request = getattr(options.get("accept_callback"), "__self__", None)
        if getattr(request, "message", None) is None:  # a job of the pool's own
            return apply_async(target, *args, **options)
        execution = Execution(request, queue_of(request.message), time.monotonic())
        self._executions[id(request)] = execution
        self._metrics.count_task(execution.queue, "started")
        wrappers: dict[str, Callback] = {
            "callback": self._on_result,
            "error_callback": self._on_error,
            "timeout_callback": self._on_timeout,
        }
        callbacks = {key: functools.partial(wrapper, execution, options[key]) for key, wrapper in wrappers.items()}
        return apply_async(target, *args, **{**options, **callbacks, **self._time_limits(execution, options)})

    def _time_limits(self, execution: Execution, options: Options) -> dict[str, float]:
        conf, maximum = self._app.conf, self._profile.queue(execution.queue).time_limit
        hard = min(options.get("timeout") or conf.task_time_limit, maximum)
        soft = min(options.get("soft_timeout") or conf.task_soft_time_limit, soft_time_limit(hard))
        return {"timeout": hard, "soft_timeout": soft}

    def _on_result(
        self, execution: Execution, callback: Callback, result: tuple[Any, Any, float], **kwargs: object
    ) -> object:
        failed, value, _runtime = result
        error = _exception_of(value) if failed else None
        self._record_end(execution, "succeeded" if error is None else _state_of(error))
        if failed:
            _name_memory_error(value)
        try:
            return callback(result, **kwargs)
        finally:
            self._discard_if_acknowledged(execution)

    def _on_error(
        self, execution: Execution, callback: Callback, info: ExceptionInfo, *args: object, **kwargs: object
    ) -> object:
        self._record_end(execution, _state_of(_exception_of(info)))
        self._blame(execution)
        _name_memory_error(info)
        try:
            return callback(info, *args, **kwargs)
        finally:
            self._discard_if_acknowledged(execution)

    def _on_timeout(
        self, execution: Execution, callback: Callback, soft: object = None, timeout: object = None
    ) -> object:
        if not soft:
            self._record_end(execution, "timeout")
            self._blame(execution)
        try:
            return callback(soft, timeout)
        finally:
            self._discard_if_acknowledged(execution)

    def _blame(self, execution: Execution) -> None:
        """Count the delivery if the message returns to its queue: its task ended the process that ran it."""
        if execution.state in BLAMED_STATES:
            self._consuming.blamed.add(execution.message.delivery_tag)

    def _record_end(self, execution: Execution, state: str) -> None:
        if execution.state:  # two of the callbacks report a hard time limit
            return
        execution.state = state
        self._metrics.count_task(execution.queue, state)
        self._metrics.observe_runtime(execution.queue, time.monotonic() - execution.started_at)

    def _discard_if_acknowledged(self, execution: Execution) -> None:
        if execution.state and execution.request.acknowledged:
            self._executions.pop(id(execution.request), None)


def _process_of(job: PoolJob) -> PoolProcess | None:
    return job._write_to or job._scheduled_for  # noqa: SLF001


def _forget(jobs: list[PoolJob], pool: Pool) -> None:
    """Have the pool forget jobs that have not begun, when the processes that were given them are dead.

    The pool would give a job that nobody accepted to the next process. And the next process would read it from the pipe
    of the dead one, which the pool replaces only while it knows of a job that went there.
    """
    if not jobs:
        return
    for job in jobs:
        job._accepted = True  # noqa: SLF001
        if (process := _process_of(job)) is not None:
            process.join(JOIN_TIMEOUT)  # a dead one may have threads that have not gone yet
    pool._pool.maintain_pool()  # noqa: SLF001
    for job in jobs:
        job.discard()


def _exception_of(info: ExceptionInfo) -> BaseException:
    error = info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error  # type: ignore[no-any-return]


def _name_memory_error(info: ExceptionInfo) -> None:
    """Put another exception in the place of a task's MemoryError, which Celery would raise in the parent, to end it.

    The process that ran the task has stored the task's own, and goes on.
    """
    error = _exception_of(info)
    if isinstance(error, MemoryError):
        named = TaskMemoryError(*error.args)
        if isinstance(info.exception, ExceptionWithTraceback):
            info.exception.exc = named
        else:
            info.exception = named


def _state_of(error: BaseException) -> str:
    return next((state for kind, state in STATE_BY_EXCEPTION if isinstance(error, kind)), FAILED)
