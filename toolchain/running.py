"""Runs programs that can be ended from another thread, with all that they started in turn.

Compilers and downloads work in threads, and an interrupt reaches only the main one. Each program is therefore the
leader of a process group of its own: what is ended is the group, so that no compiler goes on behind our back.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PATIENCE_SECONDS = 5.0


class StoppedError(Exception):
    """Nobody waits for this work any more."""


class Running:
    """The programs that one caller has started; `stop` ends them, and no other one starts after it."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()

    def run(self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], out: IO[bytes]) -> int:
        """Run the program to its end, its output and errors in `out`; its exit status. Raises StoppedError."""
        with self._lock:
            self.check()
            process = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )
            self._processes.add(process)
        try:
            status = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            with self._lock:
                self._processes.discard(process)
        self.check()
        return status

    def check(self) -> None:
        """Raise StoppedError once `stop` was called."""
        if self._stopped.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`, which raises StoppedError here."""
        self._stopped.wait(seconds)
        self.check()

    def stop(self) -> None:
        """End what runs."""
        self._stopped.set()
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM first: Go then removes its scratch files."""
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_SECONDS)
    _signal(process, signal.SIGKILL)  # also for those that outlived the leader
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
