"""What each child of the pool is told once it is forked.

It dies with its parent, however that ends: an orphan would go on with a task that another worker starts. And its tasks
may start processes of their own (data loaders, multiprocessing), which Celery's pool forbids: it makes its children
daemons, whose children nobody would end. Here whoever cancels a task ends all its descendants (processes.py).
Linux only.
"""

import ctypes
import signal
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]  # the stubs lack it

from billiard.process import current_process
from celery import signals

_PR_SET_PDEATHSIG = 1


def connect() -> None:
    """Prepare each child from now on."""
    signals.worker_process_init.connect(_prepare, weak=False)


def _prepare(**_kwargs: object) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    process = current_process()  # Python's own multiprocessing asks the same object
    process.daemon = False
    # billiard's own type of key lets nobody but billiard start a process by spawning it.
    process._config["authkey"] = AuthenticationString(process.authkey)  # noqa: SLF001
