"""One server of this checkout: its process, its saved ports, and when it must be restarted.

A running server is left alone as long as it was started by the same command, environment and input files;
a new port, a renewed certificate or a rebuilt binary ends it and starts its successor. Memory is in MiB.

A saved port may be somebody else's by the time it is wanted again (ports are handed out from the range
that outgoing connections use as well), so starting tries a few times, each time with new ports.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import CommandError
from local.ports import Ports, is_free
from local.processes import Daemon

ATTEMPTS = 3
RELEASE_SECONDS = 5.0
LOG_LIMIT = 4 * 1024 * 1024  # bytes; a server that is started anew begins a new log beyond that


@dataclass(frozen=True)
class ServerStatus:
    """What `status` says of one server; `port` is the one clients use, `memory` its resident set in MiB."""

    name: str
    running: bool
    pid: int | None = None
    port: int | None = None
    memory: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Server:
    """A daemon with ports. `command` is asked once the ports are settled, and may write configuration files."""

    daemon: Daemon
    ports: Ports
    port_names: tuple[str, ...]
    command: Callable[[], Sequence[str | Path]]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[Path, ...] = ()
    within: float = 60.0

    @property
    def port(self) -> int:
        """The first of its ports: the one clients use."""
        return self.ports.get(self.port_names[0])

    def start(self) -> None:
        """Start the server unless the right one runs, and wait until it is ready."""
        for attempt in range(1, ATTEMPTS + 1):
            command = self._prepare()
            try:
                self.daemon.start(command, env=self.env, ready=self.ready, within=self.within)
            except CommandError:
                if attempt == ATTEMPTS or not self._port_was_taken():
                    raise
            else:
                return

    def replace_taken_ports(self) -> None:
        """Choose new ports for those that others took, unless the server runs."""
        if not self.daemon.alive():
            self._choose_ports_again()

    def stop(self, patience: float = 0.0) -> None:
        """End the server: KILL once it has had `patience` seconds since TERM."""
        self._end(patience)
        self._fingerprint_file.unlink(missing_ok=True)

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        pid = self.daemon.pid()
        if pid is None:
            return ServerStatus(self.daemon.name, running=False)
        return ServerStatus(self.daemon.name, running=True, pid=pid, port=self.port, memory=resident(pid))

    @property
    def _fingerprint_file(self) -> Path:
        return self.daemon.run / f"{self.daemon.name}.command"

    def _prepare(self) -> Sequence[str | Path]:
        """Choose ports for a server that is not running, and end one that runs by an older command."""
        self.replace_taken_ports()
        command = self.command()
        fingerprint = self._fingerprint(command)
        if self.daemon.alive() and self._started_with() != fingerprint:
            self._end(0.0)
        if not self.daemon.alive():
            self._begin_log()
            self._fingerprint_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fingerprint_file.write_text(fingerprint)
        return command

    def _end(self, patience: float) -> None:
        """Stop, and wait for the last thread: a killed process counts as ended while others still hold its ports."""
        pid = self.daemon.pid()
        self.daemon.stop(patience)
        deadline = time.monotonic() + RELEASE_SECONDS
        while pid is not None and _threads(pid) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)

    def _choose_ports_again(self) -> None:
        for name in self.port_names:
            if not is_free(self.ports.get(name)):
                self.ports.choose(name)

    def _port_was_taken(self) -> bool:
        if any(not is_free(self.ports.get(name)) for name in self.port_names):
            return True
        text = _tail(self.daemon.log).lower()
        if "address already in use" not in text:
            return False
        for name in self.port_names:  # the log does not say which one, in a form that all servers share
            self.ports.choose(name)
        return True

    def _begin_log(self) -> None:
        log = self.daemon.log
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))

    def _started_with(self) -> str:
        return self._fingerprint_file.read_text() if self._fingerprint_file.exists() else ""

    def _fingerprint(self, command: Sequence[str | Path]) -> str:
        contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.reads]
        text = json.dumps([[str(part) for part in command], dict(self.env), contents], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def resident(pid: int) -> int | None:
    """Return the resident set of a process in MiB, or None when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)
    return None if kib is None else round(kib / 1024)


def _threads(pid: int) -> int:
    try:
        return len([*Path(f"/proc/{pid}/task").iterdir()])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _tail(log: Path, size: int = 8192) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size), os.SEEK_SET)
        return file.read().decode(errors="replace")
