"""A TCP proxy on loopback between one worker and its broker, which can cut its connections, or hang."""

import socket
import threading
import time
from contextlib import suppress

CHUNK = 65536  # bytes


class Proxy:
    """Forwards to a port of this machine. `cut` and `hang` last for some seconds."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self._cut_until = 0.0  # CLOCK_MONOTONIC
        self._hang_until = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self._listener.getsockname()[1])

    def cut(self, seconds: float) -> None:
        """Close every connection, and each new one at once."""
        self._cut_until = time.monotonic() + seconds
        for connection in list(self._sockets):
            _close(connection)

    def hang(self, seconds: float) -> None:
        """Accept connections and what is sent, and forward nothing until the time is over."""
        self._hang_until = time.monotonic() + seconds

    def close(self) -> None:
        """End the proxy and its connections."""
        _close(self._listener)
        self.cut(0)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for source, sink in ((client, server), (server, client)):
                    self._sockets.add(source)
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while time.monotonic() >= self._cut_until and (data := source.recv(CHUNK)):
                while (wait := self._hang_until - time.monotonic()) > 0:
                    time.sleep(min(wait, 0.1))
                sink.sendall(data)
        for connection in (source, sink):
            _close(connection)
        self._sockets.discard(source)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
