"""Keeps a result store that hangs, or is away, from costing tasks or the time of a worker.

The child that ran a task writes its result. Where that fails, Celery counts the task as failed, and one with
`track_started` never runs. Here a result is tried again for a while, then counted as lost, and the task stays what it
was. A state on the way (STARTED, or one of the task's own) is tried once.

The parent writes for children that died, time limits, revocations and dead letters. Celery does it in the event loop,
which then neither acknowledges nor updates the probes' files. Here a thread does it, and the event loop waits for it
for a second: so while the store answers, results are written before their messages are acknowledged, as before.
"""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import ImproperlyConfigured
from celery.states import READY_STATES
from kombu.exceptions import EncodeError, OperationalError

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.type_aliases import App, Backend, Request
from alphaswarm_runtime.worker.background import BackgroundCalls, BusyError

logger = logging.getLogger("alphaswarm_runtime.worker.results")

RETRY_INTERVAL = 1.0  # seconds
SILENCE = 30.0  # seconds without states on the way, after one could not be written
WRITES = ("mark_as_failure", "mark_as_revoked", "mark_as_retry")
READS = ("_get_task_meta_for",)
OF_THE_TASK = (EncodeError, MemoryError)  # not the store's fault: Celery makes them the task's failure

Function = Callable[..., Any]


class Results:
    """The result backends of one worker process and of its children.

    A result that cannot be written is tried again for `retry_for` seconds.
    """

    def __init__(self, app: App, metrics: Metrics, retry_for: int) -> None:
        self._app = app
        self._metrics = metrics
        self._retry_for = retry_for
        self._parent = os.getpid()
        self._background = BackgroundCalls(app, "results")
        self._closing = False
        self._silent_until = 0.0  # CLOCK_MONOTONIC
        self._lost_in_children, self._report_lost = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def install(self) -> None:
        """Guard the backends of the application and of its tasks. Call it before the pool forks its children.

        Raises:
            ConfigurationError: there is no such backend.
        """
        try:
            own = self._app.backend
            backends = {id(backend): backend for backend in (task.backend for task in self._app.tasks.values())}
        except (ImproperlyConfigured, ImportError) as error:
            raise ConfigurationError(f"the result backend cannot be used: {error}") from None
        for backend in {**backends, id(own): own}.values():
            self._guard(backend, of_task=backend is not own)
        create = self._app._get_backend  # noqa: SLF001  each thread has a backend of its own
        self._app._get_backend = lambda: self._guard(create())  # noqa: SLF001
        self._background.start()

    def count_lost(self) -> None:
        """Count the results that children could not write since the last call."""
        with suppress(BlockingIOError):
            while read := os.read(self._lost_in_children, 65536):
                for name in read.decode().splitlines():
                    self._metrics.count_lost_result(name)

    def close(self, seconds: float) -> None:
        """Wait for what the parent still writes, at most `seconds`, and say what was not written."""
        self._closing = True
        if unwritten := self._background.close(seconds):
            logger.error("%d result(s) were not written: their store does not answer", unwritten)

    def _guard(self, backend: Backend, *, of_task: bool = False) -> Backend:
        """Replace functions of a backend, which may be of one task only."""
        backend.store_result = functools.partial(self._store, backend.store_result)
        backend.on_chord_part_return = functools.partial(self._tell_chord, backend.on_chord_part_return)
        for names, call in ((WRITES, self._write), (READS, self._read)):
            for name in names:
                if (here := getattr(backend, name, None)) is None:  # a disabled one, or of another kind
                    continue
                in_thread = here if of_task else functools.partial(self._call_on_own_backend, name)
                setattr(backend, name, functools.partial(call, here, in_thread))
        return backend

    # -- in a child, or the thread -------------------------------------------------------------------------------

    def _store(
        self, store: Function, task_id: str, result: object, state: str, *args: object, **kwargs: object
    ) -> object:
        write = functools.partial(store, task_id, result, state, *args, **kwargs)
        if state not in READY_STATES:
            self._try_once(write, f"state {state} of task {task_id}")
        elif error := self._try(write):
            logger.error("the result of task %s (%s) could not be written: %r", task_id, state, error)
            self._count_lost(kwargs.get("request"))
        return result

    def _try(self, write: Function) -> Exception | None:
        """Return the last error, or None once it is written."""
        give_up_at = time.monotonic() + self._retry_for
        while True:
            try:
                write()
            except OF_THE_TASK:
                raise
            except Exception as error:  # noqa: BLE001  every backend has errors of its own
                out_of_time = isinstance(error, SoftTimeLimitExceeded) or time.monotonic() >= give_up_at
                if out_of_time or self._closing:
                    return error
                time.sleep(RETRY_INTERVAL)
            else:
                return None

    def _try_once(self, write: Function, what: str) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            write()
        except (*OF_THE_TASK, SoftTimeLimitExceeded):
            raise
        except Exception as error:  # noqa: BLE001  every backend has errors of its own
            self._silent_until = time.monotonic() + SILENCE
            logger.warning("%s could not be written: %r", what, error)

    def _tell_chord(self, tell: Function, request: Request, state: str, result: object, **kwargs: object) -> None:
        try:
            tell(request, state, result, **kwargs)
        except (*OF_THE_TASK, OperationalError, SoftTimeLimitExceeded):
            raise
        except Exception:
            logger.exception("task %s ended (%s), and its chord could not be told", request.id, state)
            self._count_lost(request)

    def _count_lost(self, request: Request) -> None:
        name = (getattr(request, "delivery_info", None) or {}).get("routing_key") or ""
        if os.getpid() == self._parent:
            self._metrics.count_lost_result(name)
        else:
            with suppress(OSError):  # full, or the parent is gone: a number is missing then
                os.write(self._report_lost, f"{name}\n".encode())

    # -- in the event loop ---------------------------------------------------------------------------------------

    def _write(self, here: Function, in_thread: Function, task_id: str, *args: object, **kwargs: object) -> None:
        if not self._in_event_loop():
            here(task_id, *args, **kwargs)
            return
        try:
            self._background.call(functools.partial(in_thread, task_id, *args, **kwargs))
        except BusyError as busy:
            if busy.dropped:
                self._count_lost(kwargs.get("request"))
            logger.warning("the result of task %s %s: %s", task_id, "is lost" if busy.dropped else "waits", busy)
        except Exception:
            logger.exception("the result of task %s could not be written", task_id)

    def _read(self, here: Function, in_thread: Function, task_id: str) -> object:
        """Read for Celery, which goes on without what it wanted to know where BusyError is raised."""
        if not self._in_event_loop():
            return here(task_id)
        if self._background.is_behind:
            raise BusyError("the result store does not answer")
        return self._background.call(functools.partial(in_thread, task_id))

    def _in_event_loop(self) -> bool:
        return os.getpid() == self._parent and threading.current_thread() is threading.main_thread()

    def _call_on_own_backend(self, name: str, *args: object, **kwargs: object) -> object:
        return getattr(self._app.backend, name)(*args, **kwargs)
