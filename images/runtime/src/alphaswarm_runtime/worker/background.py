"""Calls that the event loop must not wait for: a thread makes them, one after the other."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from alphaswarm_runtime.type_aliases import App

PATIENCE = 1.0  # seconds that a caller waits for its call
CAPACITY = 1000  # calls


class BusyError(Exception):
    """The call was not made in time. It is made later, unless `dropped`."""

    def __init__(self, message: str, *, dropped: bool = False) -> None:
        super().__init__(message)
        self.dropped = dropped


class BackgroundCalls:
    """The thread of one process. It is not there in a child that is forked."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name
        self._waiting: queue.Queue[tuple[Future[object], Callable[[], object]]] = queue.Queue(CAPACITY)
        self._last: Future[object] | None = None

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    @property
    def is_behind(self) -> bool:
        """Whether a call still waits, or is being made."""
        return self._last is not None and not self._last.done()

    def call(self, function: Callable[[], object]) -> object:
        """Return what the call returns, or raise what it raises, if it is made soon.

        Raises:
            BusyError: it is not. While earlier calls hang, nothing is waited for.
        """
        patience = 0.0 if self.is_behind else PATIENCE
        future: Future[object] = Future()
        try:
            self._waiting.put_nowait((future, function))
        except queue.Full:
            raise BusyError(f"{CAPACITY} calls wait already", dropped=True) from None
        self._last = future
        try:
            return future.result(patience)
        except TimeoutError:
            if future.done():  # the call itself raised it
                raise
            raise BusyError("no answer yet") from None

    def close(self, seconds: float) -> int:
        """Wait for all calls, at most `seconds`, and return how many were not made."""
        if self._last is None:
            return 0
        with suppress(Exception):
            self._last.result(seconds)
        return self._waiting.qsize() + 1 if self.is_behind else 0

    def _work(self) -> None:
        self._app.set_current()
        while True:
            future, function = self._waiting.get()
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001  whoever waits for it gets it
                future.set_exception(error)
