"""A cache folder appears whole or not at all, and only one process makes it.

The work happens in `<folder>.partial-<pid>` under a lock held by the kernel: a process that dies lets go of it, and
the next one removes what it left. Its compiler may outlive it for a while, so nobody works in that folder again.
Renaming is the last step: a folder that exists is complete.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.progress import Progress
from toolchain.running import Running

_LOCK_PAUSE_SECONDS = 0.2


@contextmanager
def placed(folder: Path, progress: Progress, running: Running) -> Iterator[Path | None]:
    """Yield an empty folder to fill, which becomes `folder` on success; None when another process just made it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(folder.name + ".lock"), folder.name, progress, running):
        if folder.exists():
            yield None
            return
        for left in folder.parent.glob(f"{folder.name}.partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
        partial.mkdir()
        try:
            yield partial
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _lock(file: Path, what: str, progress: Progress, running: Running) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _taken(handle):
            with progress.step(f"waiting for another process that makes {what}"):
                while not _taken(handle):  # a thread that blocks in flock could not be stopped
                    running.pause(_LOCK_PAUSE_SECONDS)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
