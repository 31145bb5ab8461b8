"""Ends a plugin with the engine that started it: on SIGINT and SIGTERM, and when the engine is killed."""

import os
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

POLL_SECONDS = 1.0


def exit_with_engine() -> None:
    """Exit quietly on SIGINT and SIGTERM, and once the parent process is another one.

    A killed engine tells nobody. The kernel's own notice (PR_SET_PDEATHSIG) is about the thread that started this
    process, and the engine's threads come and go.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> NoReturn:
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    threading.Thread(target=_exit_when_orphaned, args=(os.getppid(),), daemon=True).start()


def _exit_when_orphaned(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(POLL_SECONDS)
    os._exit(0)
