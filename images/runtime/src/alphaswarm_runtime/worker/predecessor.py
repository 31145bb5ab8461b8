"""Knows which process ran here before this one: it is dead, so its messages need not wait for the end of its lease.

The name of the owner stands in a file of the state directory, which a pod keeps when its container is restarted. The
file stays locked while the process or a child of it lives.
"""

import fcntl
import os
from pathlib import Path

FILE = "owner"


def replace(directory: Path, owner: str) -> str | None:
    """Write this process' name.

    Returns:
        The name of the process before; None when there was none, or it may still live.
    """
    descriptor = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # open until this process ends
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    before = os.read(descriptor, 1000).decode(errors="replace")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)
    return before or None
