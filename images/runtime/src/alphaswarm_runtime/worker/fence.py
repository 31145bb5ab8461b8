"""Ends a child of the pool that runs a task although its parent's lease has ended: another worker may run it by now.

The parent does that itself while its event loop runs. This is for an event loop that hangs, and for a process that was
stopped and continued. The deadline lies in memory that parent and children share. Each child watches it from a thread,
and at SIGCONT before anything else: a task that slept must not take another step. Linux only.
"""

import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Collection
from types import FrameType

from alphaswarm_runtime.type_aliases import Task
from alphaswarm_runtime.worker import processes

CHECK_INTERVAL = 0.5  # seconds


class Fence:
    """A deadline (CLOCK_MONOTONIC) after which no child may run a task. Make it before the children are forked.

    With `spares_others` the process has queues whose tasks must not be ended: only tasks of `queues` are then.
    """

    def __init__(self, queues: Collection[str], *, spares_others: bool) -> None:
        self._queues = queues
        self._spares_others = spares_others
        self._memory = mmap.mmap(-1, 8)
        self._running = False
        self.set(float("inf"))

    def set(self, deadline: float) -> None:
        """Move the deadline."""
        struct.pack_into("d", self._memory, 0, deadline)

    def connect(self) -> None:
        """Watch each child of Celery's pool, once it is forked."""
        from celery import signals

        signals.worker_process_init.connect(self._on_process_init, weak=False)
        signals.task_prerun.connect(self._on_task_prerun, weak=False)
        signals.task_postrun.connect(self._on_task_postrun, weak=False)

    def _on_process_init(self, **_kwargs: object) -> None:
        signal.signal(signal.SIGCONT, self._on_continue)
        threading.Thread(target=self._watch, name="fence", daemon=True).start()

    def _on_task_prerun(self, task: Task = None, **_kwargs: object) -> None:
        routing_key = (task.request.delivery_info or {}).get("routing_key")
        self._running = not self._spares_others or routing_key in self._queues
        self._enforce()

    def _on_task_postrun(self, **_kwargs: object) -> None:
        self._running = False

    def _on_continue(self, _number: int, _frame: FrameType | None) -> None:
        self._enforce()

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            self._enforce()

    def _enforce(self) -> None:
        if self._running and time.monotonic() >= struct.unpack_from("d", self._memory)[0]:
            for pid in reversed(processes.process_tree(os.getpid())):  # itself last
                os.kill(pid, signal.SIGKILL)
