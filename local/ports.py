"""Free loopback ports, saved by name so that a second `up` finds the servers of the first.

Ports come from below the range that outgoing connections take theirs from (32768 and up on Linux). A port is free when
it can be bound now. Another program may take it before our server does; that server then
fails to start, says so in its log, and the next `up` chooses again.
"""

import json
import random
import socket
import threading
from pathlib import Path

from common.errors import CommandError

RANGE = range(20_000, 32_000)

_lock = threading.RLock()  # servers start side by side, and the file is read, changed and written


def free_port() -> int:
    """Return a TCP port that nothing on loopback listens on now. Raises CommandError when there is none."""
    for port in random.sample(RANGE, len(RANGE)):
        if is_free(port):
            return port
    raise CommandError(
        f"Every loopback port from {RANGE.start} to {RANGE.stop} is taken. End some servers, then try again."
    )


def is_free(port: int) -> bool:
    """Return whether `port` could be bound on loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Ports:
    """The ports of one checkout, kept in a JSON file of name to number."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, name: str) -> int:
        """Return the port of `name`, chosen the first time."""
        with _lock:
            known = self._read()
            return known[name] if name in known else self.choose(name)

    def choose(self, name: str) -> int:
        """Choose a new free port for `name`, in place of one that was taken meanwhile, and return it."""
        with _lock:
            known = self._read()
            while (port := free_port()) in known.values():
                continue
            known[name] = port
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(known, indent=1, sort_keys=True))
            partial.replace(self._file)
            return port

    def _read(self) -> dict[str, int]:
        try:
            known: dict[str, int] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return known
