"""What a killed command leaves that no pid file knows: an engine with its plugins, build containers, mounts.

Processes are told by what nobody else has: the engine's by the backend in their environment, a build step's by
runc's own record of it. Both need the rights to read that, so this sees the processes of the same user (root: all).
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.errors import CommandError
from local.processes import start_time

PATIENCE_SECONDS = 10.0  # an engine that is told to end writes down where it is
KILL_SECONDS = 5.0
UNMOUNT_SECONDS = 30.0


def end_processes_with(variable: str, value: str, patience: float = PATIENCE_SECONDS) -> None:
    """End every process whose environment says `variable`=`value`: INT, and KILL after `patience` seconds.

    Raises:
        CommandError: some of them do not end.
    """
    wanted = f"{variable}={value}".encode()
    _end(lambda: [pid for pid in _other_processes() if wanted in _environment(pid)], patience)


def end_build_steps(buildkit: Path) -> None:
    """End the containers that a killed BuildKit left running; `buildkit` is its state folder."""
    _end(lambda: [*_containers(buildkit)], patience=0.0)


def unmount_within(folder: Path) -> None:
    """Unmount whatever is mounted below `folder`, the innermost first."""
    for point in sorted(_mount_points(folder), reverse=True):
        command = ["umount", "--lazy", point]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UNMOUNT_SECONDS)
        if done.returncode and point in _mount_points(folder):
            raise CommandError(f"{point} is mounted and cannot be unmounted: {done.stderr.strip()}")


def _end(find: Callable[[], list[int]], patience: float) -> None:
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGKILL, KILL_SECONDS)):
        found = find() if seconds else []
        for pid in found:
            _signal(pid, number)
        deadline = time.monotonic() + seconds
        while found and time.monotonic() < deadline:
            time.sleep(0.05)
            found = find()
    if left := find():
        raise CommandError(
            f"The processes {', '.join(map(str, left))} do not end, not even when killed: they wait for the system, "
            "mostly for a disk. Run the same command again once they are gone."
        )


def _other_processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name != _own_pid())


def _own_pid() -> str:
    return str(os.getpid())


def _environment(pid: int) -> Iterable[bytes]:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or somebody else's
        return ()
    return text.split(b"\0") if start_time(pid) is not None else ()


def _containers(buildkit: Path) -> Iterator[int]:
    for record in buildkit.glob("runc-*/executor/runc/*/state.json"):
        try:
            state = json.loads(record.read_text())
            pid, started = int(state["init_process_pid"]), int(state["init_process_start"])
        except (OSError, ValueError, KeyError):
            continue
        if pid and start_time(pid) == started:
            yield pid


def _mount_points(folder: Path) -> list[str]:
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in table)
    return [point for point in points if Path(point).is_relative_to(folder)]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
