"""A Redis server that appends to a file at each write, as a broker should."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from local.ports import free_port


@dataclass
class Server:
    """One server on loopback; `command` starts it, where this process did."""

    port: int
    command: Sequence[str] = ()
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Its broker's database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def starts_url(self) -> str:
        """The database in which tasks note their starts."""
        return f"redis://127.0.0.1:{self.port}/5"

    def client(self, url: str | None = None) -> Any:  # noqa: ANN401 redis.Redis, whose replies have no types
        """Return a client."""
        return redis.Redis.from_url(url or self.url)

    def starts(self) -> list[tuple[float, float]]:
        """Return when each task was sent and began, in seconds."""
        lines = self.client(self.starts_url).lrange("starts", 0, -1)
        return [(float(sent), float(began)) for sent, began in (line.split() for line in lines)]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        while True:
            try:
                self.client().ping()
            except redis.exceptions.RedisError:  # it does not listen yet, or loads its file
                time.sleep(0.05)
            else:
                return

    def restart(self) -> None:
        """Kill it, and start it again with the file that it appends to."""
        self._end(signal.SIGKILL)
        self.start()

    def stop(self) -> None:
        """End it."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()


@contextmanager
def server(folder: Path, *, fsync: str = "everysec") -> Iterator[Server]:
    """Run a Redis server in the folder."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    found = Server(port, [*command, "--appendonly", "yes", "--appendfsync", fsync])
    try:
        found.start()
        yield found
    finally:
        found.stop()
