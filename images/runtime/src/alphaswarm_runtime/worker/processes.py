"""Terminates a task's process and every process it started, and waits until they are gone.

A pool process dies of SIGTERM. The engine or `terraform` that it started does not, and would go on beside the task's
next start. Terminated processes are not reaped here: the pool waits for its own processes, and an exit status that it
does not get looks like a lost worker. Linux only: it reads /proc.
"""

import os
import signal
import time
from pathlib import Path

SIGTERM_TIMEOUT = 2.0  # seconds between SIGTERM and SIGKILL; the event loop is blocked meanwhile
SIGKILL_TIMEOUT = 1.0  # seconds to wait after SIGKILL


def process_tree(pid: int) -> list[int]:
    """Return the process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent_of(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    tree = [pid]
    for member in tree:  # grows while it is walked
        tree.extend(children.get(member, ()))
    return tree


def terminate(pids: list[int]) -> None:
    """Terminate the processes and wait for their end, at most SIGTERM_TIMEOUT + SIGKILL_TIMEOUT.

    Call `process_tree` before the signal is sent: orphans get another parent.
    """
    for number, timeout in ((signal.SIGTERM, SIGTERM_TIMEOUT), (signal.SIGKILL, SIGKILL_TIMEOUT)):
        for pid in pids:
            _send_signal(pid, number)
        deadline = time.monotonic() + timeout
        while (pids := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not pids:
            return


def is_running(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in ("Z", "X")


def reap_orphans(pool_pids: set[int]) -> None:
    """Reap the orphans that tasks left behind, as PID 1 must. The pool reaps its own processes, `pool_pids`."""
    if os.getpid() != 1:
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in pool_pids:
            continue
        fields = _stat(int(entry.name))
        if fields is not None and fields[0] == "Z" and fields[1] == "1":
            os.waitpid(int(entry.name), os.WNOHANG)


def _parent_of(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on, or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
