"""Counts the requests that a server gets. What its scripts do is not among them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tools.bench.runtime.server import Server

LAST = "ECHO end-of-the-count"


@dataclass
class Requests:
    """How many requests came, of all clients."""

    total: int = 0


@contextmanager
def counted_requests(server: Server) -> Iterator[Requests]:
    """Count while the block runs."""
    requests, listening = Requests(), threading.Event()

    def count() -> None:
        with server.client().monitor() as monitor:
            listening.set()
            while (seen := monitor.next_command())["command"] != LAST:
                requests.total += seen["client_type"] != "lua"

    thread = threading.Thread(target=count)
    thread.start()
    listening.wait()
    try:
        yield requests
    finally:
        server.client().execute_command(*LAST.split())
        thread.join()
