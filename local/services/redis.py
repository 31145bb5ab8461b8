"""The broker: a real Redis on loopback, with a password and nothing on disk.

The password reaches the server by its configuration file, never by its arguments, which every user of the
machine can read. Neither snapshots nor an append-only file are written: queues end with the server.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from common.paths import Paths, private_folder
from common.private_files import persistent_secret, write_private
from common.progress import Progress
from local.ports import Ports
from local.processes import Daemon
from local.services.server import Server, ServerStatus

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Redis:
    """One Redis for this checkout; `program` is redis-server."""

    program: Path
    paths: Paths
    ports: Ports

    host = "127.0.0.1"

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return self.ports.get("redis")

    @property
    def password(self) -> str:
        """Random, generated once a checkout."""
        return persistent_secret(self._folder / "password")

    def url(self, database: int = 0) -> str:
        """Return the connection URL, password included: for configuration that is encrypted or private."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"

    def start(self, progress: Progress) -> None:
        """Start it unless it runs, and wait until it answers to our password."""
        with progress.step("redis"):
            self._server.start()

    def stop(self) -> None:
        """End it; what it held is gone."""
        self._server.stop(patience=2.0)

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        return self._server.status()

    @property
    def _folder(self) -> Path:
        return self.paths.state / "state" / "redis"

    @property
    def _server(self) -> Server:
        daemon = Daemon("redis", self.paths.run, self.paths.logs)
        reads = (self._folder / "redis.conf",)
        return Server(daemon, self.ports, ("redis",), self._command, self._answers, reads=reads, within=15.0)

    def _command(self) -> list[str | Path]:
        data = private_folder(self._folder / "data")
        lines = (
            f"bind {self.host}",
            f"port {self.port}",
            "protected-mode yes",
            f'requirepass "{self.password}"',
            f'dir "{data}"',
            'save ""',
            "appendonly no",
            "daemonize no",
        )
        return [self.program, write_private(self._folder / "redis.conf", "\n".join(lines) + "\n")]

    def _answers(self) -> bool:
        """PING after AUTH, in Redis' inline protocol: a stranger's server on our port would not know us."""
        try:
            with socket.create_connection((self.host, self.port), ANSWER_SECONDS) as link:
                link.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                return link.makefile("rb").read().startswith(b"+OK\r\n+PONG\r\n")
        except OSError:
            return False
