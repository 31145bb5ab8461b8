"""Every task of this process from the moment it is handed to the pool until its message is settled.

The pool's `apply_async` is the one door through which every task passes, whatever its request class, and its
callbacks run in the parent for every end a task can have, its process' death included. So the door is where starts
are counted, time limits are capped (a sender may ask for longer ones) and ends are observed.
"""

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry

from alphaswarm_runtime import processes
from alphaswarm_runtime.deliveries import Deliveries
from alphaswarm_runtime.metrics import Metrics
from alphaswarm_runtime.type_aliases import App, ExceptionInfo, Message, Pool, Request
from alphaswarm_runtime.worker_profile import WorkerProfile, soft_time_limit

logger = logging.getLogger("alphaswarm_runtime.runs")

Callback: TypeAlias = Callable[..., Any]  # one of the pool's, which a request hands in
Options: TypeAlias = dict[str, Any]

STATES: tuple[tuple[type[BaseException], str], ...] = (
    (Retry, "retried"),
    (Ignore, "ignored"),
    (Reject, "rejected"),
    (WorkerLostError, "lost"),
    (TimeLimitExceeded, "timeout"),
    (Terminated, "ended"),
)
FAILED = "failed"


@dataclass(eq=False)
class Run:
    """One start of one task. `state` is empty until it ended; `parted` when its connection went before that."""

    request: Request
    queue: str
    began: float
    state: str = ""
    parted: bool = False

    @property
    def message(self) -> Message:
        """The kombu message, whose delivery tag stays the same however often it is delivered."""
        return self.request.message


class Runs:
    """The runs that are not settled yet."""

    def __init__(self, app: App, profile: WorkerProfile, deliveries: Deliveries, metrics: Metrics) -> None:
        self._app = app
        self._profile = profile
        self._deliveries = deliveries
        self._metrics = metrics
        self._open: dict[int, Run] = {}

    def watch(self, pool: Pool) -> None:
        """Stand in the pool's door. Before the consumer makes its strategies, which keep the door they know."""
        pool.apply_async = functools.partial(self._start, pool.apply_async)

    def unended(self) -> list[Run]:
        """The runs whose task has not ended."""
        return [run for run in self._open.values() if not run.state]

    def queue_of(self, delivery_info: dict[str, Any]) -> str:
        """The queue a message came by. It carries exchange and routing key only."""
        if len(self._profile.queue_names) == 1:
            return self._profile.queue_names[0]
        exchange, key = delivery_info.get("exchange"), delivery_info.get("routing_key")
        for name in self._profile.queue_names:
            queue = self._app.amqp.queues.get(name)
            if queue is not None and (key, exchange) == (queue.routing_key, getattr(queue.exchange, "name", None)):
                return name
        return str(key)

    def end(self, runs: list[Run], pool: Pool) -> None:
        """End the runs' processes, with all they started, without calling it a failure; their messages stay open."""
        members = [
            member for run in runs if run.request.worker_pid for member in processes.family(run.request.worker_pid)
        ]
        for run in runs:
            # No RETRY state: that would ask the result store, which may be down with the broker.
            run.request.cancel(pool, emit_retry=False)
            self._ended(run, "returned")
            self._open.pop(id(run.request), None)
        processes.end(members)

    def _start(self, apply: Callback, target: object, *args: object, **options: object) -> object:
        request: Request = getattr(options.get("accept_callback"), "__self__", None)
        if getattr(request, "message", None) is None:  # the pool's own errands
            return apply(target, *args, **options)
        run = Run(request, self.queue_of(request.delivery_info), time.monotonic())
        self._deliveries.started(run.queue, run.message)
        self._open[id(request)] = run
        self._metrics.count_task(run.queue, "started")
        hooks: dict[str, Callback] = {
            "callback": self._on_result,
            "error_callback": self._on_error,
            "timeout_callback": self._on_timeout,
        }
        hooked = {key: functools.partial(hook, run, options[key]) for key, hook in hooks.items()}
        return apply(target, *args, **{**options, **hooked, **self._limits(run, options)})

    def _limits(self, run: Run, options: Options) -> dict[str, float]:
        conf, most = self._app.conf, self._profile.queue(run.queue).time_limit
        hard = min(options.get("timeout") or conf.task_time_limit, most)
        soft = min(options.get("soft_timeout") or conf.task_soft_time_limit, soft_time_limit(hard))
        return {"timeout": hard, "soft_timeout": soft}

    def _on_result(self, run: Run, callback: Callback, outcome: tuple[Any, Any, float], **more: object) -> object:
        failed, value, _runtime = outcome
        error = _error_of(value) if failed else None
        self._ended(run, "succeeded" if error is None else _state_of(error))
        try:
            return callback(outcome, **more)
        finally:
            self._close_if_settled(run)
            if isinstance(error, Reject) and error.requeue:
                self.forgive([run])  # the task asked for it

    def _on_error(self, run: Run, callback: Callback, info: ExceptionInfo, *args: object, **more: object) -> object:
        self._ended(run, _state_of(_error_of(info)))
        try:
            return callback(info, *args, **more)
        finally:
            self._close_if_settled(run)

    def _on_timeout(self, run: Run, callback: Callback, soft: object = None, timeout: object = None) -> object:
        if not soft:
            self._ended(run, "timeout")
        try:
            return callback(soft, timeout)
        finally:
            self._close_if_settled(run)

    def _ended(self, run: Run, state: str) -> None:
        if run.state:  # a hard time limit is reported by two of the callbacks
            return
        run.state = state
        self._metrics.count_task(run.queue, state)
        self._metrics.observe_runtime(run.queue, time.monotonic() - run.began)

    def _close_if_settled(self, run: Run) -> None:
        if run.state and run.request.acknowledged:
            self._open.pop(id(run.request), None)

    def forgive(self, runs: list[Run]) -> list[Run]:
        """Take back the starts of these runs. Returns those that could not be, because the broker does not answer."""
        failed = []
        for run in runs:
            try:
                self._deliveries.forgive(run.queue, run.message)
            except Exception as error:  # noqa: BLE001  a count that is one too high must not end the worker
                logger.debug("the start of %s is not taken back yet: %s", run.request.id, error)
                failed.append(run)
        return failed


def _error_of(info: ExceptionInfo) -> BaseException:
    error = info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error  # type: ignore[no-any-return]


def _state_of(error: BaseException) -> str:
    return next((state for kind, state in STATES if isinstance(error, kind)), FAILED)
