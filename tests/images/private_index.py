"""A private package index on loopback: one pure-Python wheel, for those who send the right user and password."""

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACKAGE = "fleet_private"
WHEEL = f"{PACKAGE}-1.0-py3-none-any.whl"


@dataclass(frozen=True)
class PrivateIndex:
    """Where it listens, and who may read."""

    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """Its simple API."""
        return f"http://127.0.0.1:{self.port}/simple/"

    @property
    def netrc(self) -> str:
        """The file that lets uv in."""
        return f"machine 127.0.0.1 login {self.user} password {self.password}\n"

    @property
    def header(self) -> str:
        """What a client sends that was let in."""
        return basic(self.user, self.password)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def private_index(user: str, password: str) -> Iterator[PrivateIndex]:
    """Serve for the length of the block."""
    wheel = _wheel()
    page = f'<a href="/files/{WHEEL}#sha256={hashlib.sha256(wheel).hexdigest()}">{WHEEL}</a>'.encode()
    served = {f"/simple/{PACKAGE.replace('_', '-')}/": ("text/html", page), f"/files/{WHEEL}": (_BINARY, wheel)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != basic(user, password):
                self.send_response(HTTPStatus.UNAUTHORIZED)
                self.send_header("WWW-Authenticate", 'Basic realm="private"')
                self._finish(b"")
            elif self.path in served:
                kind, body = served[self.path]
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", kind)
                self._finish(body)
            else:
                self.send_response(HTTPStatus.NOT_FOUND)
                self._finish(b"")

        do_HEAD = do_GET  # noqa: N815

        def _finish(self, body: bytes) -> None:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield PrivateIndex(server.server_port, user, password)
    finally:
        server.shutdown()
        server.server_close()


_BINARY = "application/octet-stream"


def _wheel() -> bytes:
    info = f"{PACKAGE}-1.0.dist-info"
    files = {
        f"{PACKAGE}/__init__.py": 'FROM = "a private index"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: fleet-private\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
    return raw.getvalue()
