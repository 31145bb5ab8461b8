"""A Redis server that appends to a file at each write, as a broker should."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from local.ports import free_port


@dataclass(frozen=True)
class Server:
    """One server on loopback."""

    port: int

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


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Run a Redis server in the folder."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
    found = Server(port)
    try:
        while True:
            try:
                found.client().ping()
                break
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait()
