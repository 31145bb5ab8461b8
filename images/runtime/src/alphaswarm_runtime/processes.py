"""Ends a task's process and whatever it started, and waits until it is really gone.

A pool process dies of SIGTERM; the engine or `terraform` it started does not, and would go on beside the second run.
The dead must stay unreaped: the pool itself waits for its processes, and an exit status taken away from it would
look like a lost worker. Only Linux: it reads /proc.
"""

import os
import signal
import time
from pathlib import Path

POLITE = 2.0  # seconds between SIGTERM and SIGKILL; the event loop stands still meanwhile


def family(pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found.extend(children.get(one, ()))
    return found


def end(members: list[int]) -> None:
    """End the processes and wait for their death, at most POLITE seconds and a moment.

    Ask for a process' family before it is told to end: its orphans have another parent.
    """
    for number, patience in ((signal.SIGTERM, POLITE), (signal.SIGKILL, 1.0)):
        for member in members:
            _signal(member, number)
        deadline = time.monotonic() + patience
        while (members := [member for member in members if is_running(member)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not members:
            return


def is_running(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in ("Z", "X")


def parent_of(pid: int) -> int | None:
    """The parent's id, or None when the process is gone."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def reap_strangers(own: set[int]) -> None:
    """As PID 1, bury the orphans that tasks left behind; `own` are the pool's, which it buries itself."""
    if os.getpid() != 1:
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        fields = _stat(int(entry.name))
        if fields is not None and fields[0] == "Z" and fields[1] == "1":
            os.waitpid(int(entry.name), os.WNOHANG)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
