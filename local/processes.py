"""Servers that outlive the command that started them, and are ended by nobody else.

A pid alone is not an identity: after a reboot or a long time it may be somebody else's. The pid file therefore
holds the start time in clock ticks since boot as well (field 22 of /proc/<pid>/stat), and both must match
before a signal is sent.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import private_folder

LOG_LINES_SHOWN = 12


@dataclass(frozen=True)
class Daemon:
    """One server of this checkout, known by its `name`: `<run>/<name>.pid` and `<logs>/<name>.log`."""

    name: str
    run: Path
    logs: Path

    @property
    def log(self) -> Path:
        """Where the server's output goes, appended."""
        return self.logs / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Holds the pid and the start time."""
        return self.run / f"{self.name}.pid"

    def alive(self) -> bool:
        """Whether the very process that `start` made still runs."""
        return self.pid() is not None

    def pid(self) -> int | None:
        """Return the process id, or None when that process is gone."""
        try:
            written = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid, started = int(written["pid"]), int(written["started"])
        return pid if start_time(pid) == started else None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Callable[[], bool] = lambda: True,
        within: float = 30.0,
    ) -> None:
        """Start the server unless it runs, and wait until `ready` says so.

        Raises CommandError with the end of its log when it ends early or is not ready `within` seconds; it is
        stopped then, so that nothing half-started stays behind.
        """
        if not self.alive():
            self._spawn(command, env, cwd)
        deadline = time.monotonic() + within
        while not ready():
            if not self.alive():
                raise CommandError(f"{self.name} ended while starting.\n{self._tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise CommandError(f"{self.name} was not ready within {within:.0f} s.\n{self._tail()}")
            time.sleep(0.05)

    def stop(self, patience: float = 5.0) -> None:
        """End the server: TERM, and KILL after `patience` seconds. A server that is gone is no error.

        Raises:
            CommandError: not even KILL ends it; its pid file stays, so that a later command tries again.
        """
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            pid = self.pid()
            if pid is None:
                break
            _signal(pid, number)
            _wait(lambda: not self.alive(), wait)
        if (pid := self.pid()) is not None:
            raise CommandError(
                f"{self.name} (process {pid}) does not end, not even when killed: it waits for the disk."
            )
        self.pid_file.unlink(missing_ok=True)

    def _spawn(self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path | None) -> None:
        private_folder(self.run)
        private_folder(self.logs)
        process = self._process(command, env, cwd)
        try:
            self._write_pid_file(process.pid, str(command[0]))
        except BaseException:  # interrupted: nobody would ever find it again
            process.kill()
            raise

    def _process(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            try:
                return subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    start_new_session=True,
                )
            except FileNotFoundError as missing:
                raise CommandError(f"{self.name} cannot be started: there is no {missing.filename}.") from None

    def _write_pid_file(self, pid: int, command: str) -> None:
        partial = self.pid_file.with_suffix(".partial")
        partial.write_text(json.dumps({"pid": pid, "started": start_time(pid), "command": command}))
        partial.replace(self.pid_file)

    def _tail(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return "\n".join(
            ["Its log ends:", *(f"  {line}" for line in lines[-LOG_LINES_SHOWN:]), f"All of it: {self.log}"]
        )


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def interrupt_children() -> None:
    """Interrupt the processes that this one started in its own group, as a terminal does; servers have their own."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            parent, group = _stat(pid)[1:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid() and int(group) == os.getpgrp():
            _signal(pid, signal.SIGINT)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on: state, parent, group, and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
