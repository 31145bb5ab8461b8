"""The image registry: a real Docker registry on loopback, deletion allowed.

Clients disagree about registries on this machine. BuildKit and the Docker tools speak plain HTTP to the names
`localhost` and 127.x.y.z, and TLS to everybody else; the client that joins a multi-architecture index speaks TLS
to everybody. Only a name that is not literally `localhost`, yet leads to loopback, suits both. Host names are
compared without case where they are looked up and verified, but with case in that one exception, so the name
`LOCALHOST` does, and nothing on the machine has to be changed (behind a proxy NO_PROXY must name `localhost`,
for the same reason). Plain HTTP is the default.
"""

import json
import socket
from dataclasses import dataclass
from pathlib import Path

import requests

from common.errors import CommandError
from common.loopback import ANSWER_SECONDS, session
from common.paths import Paths, private_folder
from common.private_files import persistent_secret, write_private
from common.progress import Progress
from local.ports import Ports
from local.processes import Daemon
from local.services.certificates import authority, expires_soon, leaf
from local.services.server import Server, ServerStatus


@dataclass(frozen=True)
class RegistryTls:
    """Serve TLS under `name`, which must lead to loopback, with a certificate of this checkout's own authority."""

    name: str = "LOCALHOST"


@dataclass(frozen=True)
class Registry:
    """One registry for this checkout; `program` is docker-registry (upstream calls it `registry`)."""

    program: Path
    paths: Paths
    ports: Ports
    tls: RegistryTls | None = None

    @property
    def endpoint(self) -> str:
        """What image references begin with: host and port."""
        return f"{self.tls.name if self.tls else '127.0.0.1'}:{self.ports.get('registry')}"

    @property
    def url(self) -> str:
        """The registry's base URL."""
        return f"{'https' if self.tls else 'http'}://{self.endpoint}"

    @property
    def ca_file(self) -> Path | None:
        """The authority to trust, or None on plain HTTP."""
        return self._folder / "tls" / "ca.crt" if self.tls else None

    def start(self, progress: Progress) -> None:
        """Start it unless it runs, and wait until it answers."""
        with progress.step("image registry"):
            if self.tls:
                _leads_to_loopback(self.tls.name)
            self._server.start()

    def stop(self) -> None:
        """End it; its images stay in the state folder."""
        self._server.stop()

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        return self._server.status()

    @property
    def _folder(self) -> Path:
        return self.paths.state / "state" / "registry"

    @property
    def _server(self) -> Server:
        daemon = Daemon("registry", self.paths.run, self.paths.logs)
        certificates = (self._folder / "tls" / "tls.crt",) if self.tls else ()
        reads = (self._config, *certificates)
        return Server(daemon, self.ports, ("registry",), self._command, self._answers, reads=reads, within=15.0)

    @property
    def _config(self) -> Path:
        return self._folder / "config.yml"

    def _command(self) -> list[str | Path]:
        self._write_config()
        return [self.program, "serve", self._config]

    def _write_config(self) -> None:
        storage = private_folder(self._folder / "images")
        http: dict[str, object] = {
            "addr": f"127.0.0.1:{self.ports.get('registry')}",
            "secret": persistent_secret(self._folder / "upload-secret"),
        }
        if self.tls:
            self._certify(self.tls.name)
            http["tls"] = {name: str(self._folder / "tls" / f"tls.{end}") for name, end in _TLS_FILES}
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
            "http": http,
        }
        write_private(self._config, json.dumps(config, indent=1))  # JSON is YAML too

    def _certify(self, name: str) -> None:
        folder = self._folder / "tls"
        named = folder / "name"
        if named.exists() and named.read_text() == name and not expires_soon(folder / "tls.crt"):
            return
        ca = authority("alphaswarm local registry")
        server = leaf(ca, name, hosts=(name.lower(), "127.0.0.1"), client=False)
        write_private(folder / "ca.crt", ca.certificate_pem)
        write_private(folder / "tls.key", server.key_pem)
        write_private(folder / "tls.crt", server.certificate_pem)
        write_private(named, name)

    def _answers(self) -> bool:
        try:
            answer = session().get(f"{self.url}/v2/", timeout=ANSWER_SECONDS, verify=str(self.ca_file or True))
        except requests.RequestException:
            return False
        return answer.ok


_TLS_FILES = (("certificate", "crt"), ("key", "key"))


def _leads_to_loopback(name: str) -> None:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        found = set()
    if not any(address.startswith("127.") for address in found):
        raise CommandError(
            f"The registry's name {name} does not lead to this machine's loopback "
            f"(it resolves to {', '.join(sorted(found)) or 'nothing'}). "
            f"Add the line `127.0.0.1 {name}` to /etc/hosts, or leave the name at LOCALHOST."
        )
