"""A web server on loopback with a release on it, and with the ways in which a network fails."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ReleasesServer:
    """What is served, by path; `asked` holds the paths of all requests for a body."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)  # paths whose connection ends in the middle
    refuses: bool = False  # answers every request as a proxy does for a host that it does not let through
    asked: list[str] = field(default_factory=list)
    probes: int = 0

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def publish(self, path: str, body: bytes, algorithm: str = "sha256") -> None:
        """Serve a file, and at `/sums` a list with its checksum."""
        self.files[path] = body
        digest, name = hashlib.new(algorithm, body).hexdigest(), path.rpartition("/")[2]
        self.files["/sums"] = f"{'0' * 64}  another-file\n{digest}  {name}\n".encode()


@contextmanager
def serving() -> Iterator[ReleasesServer]:
    """A server on a free port, for as long as the block runs."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    server = ReleasesServer(f"127.0.0.1:{httpd.server_port}")
    _Handler.servers[httpd.server_port] = server
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
        del _Handler.servers[httpd.server_port]


def archive(**files: str) -> bytes:
    """A .tar.gz; in a name, `__` stands for a slash."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


class _Handler(BaseHTTPRequestHandler):
    servers: dict[int, ReleasesServer] = {}  # noqa: RUF012  # one class for all servers, which know it by their port

    def do_HEAD(self) -> None:
        server = self._server()
        server.probes += 1
        self.send_response(403 if server.refuses else 200)
        self.end_headers()

    def do_GET(self) -> None:
        server = self._server()
        server.asked.append(self.path)
        body = server.files.get(self.path)
        if server.refuses or body is None:
            self.send_response(403 if server.refuses else 404)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in server.cut else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _server(self) -> ReleasesServer:
        return self.servers[int(self.connection.getsockname()[1])]
