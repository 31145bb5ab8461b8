"""A stand-in lives as long as the engine that started it: it ends when told, and when that engine is killed."""

import os
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

LOOK_SECONDS = 1.0


def end_with_the_engine() -> None:
    """End quietly on SIGINT and SIGTERM, and by ourselves once the parent process is another one.

    A killed engine tells nobody. The kernel's own notice (PR_SET_PDEATHSIG) speaks of the thread that started us, and
    the engine's threads come and go.
    """

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(engine: int) -> None:
    while os.getppid() == engine:
        time.sleep(LOOK_SECONDS)
    os._exit(0)
