"""BuildKit's daemon, which builds and pushes the images: one for a checkout, on a Unix socket in its state folder.

It runs as root with runc and the machine's own network. `http = false` for the registry is what makes BuildKit
speak TLS to a loopback address, which it would otherwise speak plain HTTP to.
"""

import json
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths, private_folder
from common.private_files import write_private
from local.processes import Daemon
from local.services.server import PartStatus, Server, resident

SOCKET_PATH_MAX = 107  # bytes, of the kernel
CACHE_KEPT = "20GB"  # layers and cache mounts beyond that are dropped, the longest unused first
STOP_SECONDS = 10.0  # it unmounts what it mounted


@dataclass(frozen=True)
class TrustedRegistry:
    """A registry as image references name it (`host:port`), and the authority that signed for it; None: plain HTTP."""

    address: str
    ca_file: Path | None

    def configuration(self, ca_file: str | None) -> str:
        """The registry's section of a BuildKit configuration, with the authority under the name the reader knows."""
        # JSON's strings are TOML's basic strings.
        lines = [f"[registry.{json.dumps(self.address)}]", f"  http = {'false' if ca_file else 'true'}"]
        return "\n".join([*lines, *([f"  ca = [{json.dumps(ca_file)}]"] if ca_file else [])]) + "\n"


@dataclass(frozen=True)
class BuildKit:
    """The daemon; `program` is buildkitd, `runc` what it runs build steps with. Without a registry it does not push."""

    program: Path
    runc: Path
    paths: Paths
    registry: TrustedRegistry | None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.paths.run / "buildkitd.sock"

    @property
    def address(self) -> str:
        """What clients are told."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it unless it runs with this configuration, and wait until it listens."""
        self._refuse_what_cannot_work()
        self._server().start()

    def stop(self) -> None:
        """End it; its cache stays in the state folder."""
        self._server().stop(STOP_SECONDS)

    def status(self) -> PartStatus:
        """Whether it runs, and what it uses."""
        pid = self._daemon.pid()
        return PartStatus(self._daemon.name, running=pid is not None, pid=pid, memory=pid and resident(pid))

    @property
    def _daemon(self) -> Daemon:
        return Daemon("buildkitd", self.paths.run, self.paths.logs)

    def _server(self) -> Server:
        from local.ports import Ports

        config = self._write_config()
        reads = [config, *([self._ca_file] if self._ca_file else [])]
        return Server(
            self._daemon,
            Ports(self.paths.run / "ports.json"),
            (),
            lambda: self._command(config),
            self._listens,
            env={"PATH": os.pathsep.join((str(self.runc.parent), os.environ.get("PATH", os.defpath)))},
            reads=tuple(reads),
            within=30.0,
        )

    @property
    def _ca_file(self) -> Path | None:
        return self.registry.ca_file if self.registry else None

    def _command(self, config: Path) -> Sequence[str | Path]:
        return [self.program, "--config", config]

    def _write_config(self) -> Path:
        root = private_folder(self.paths.state / "state" / "buildkit")
        text = "\n".join(
            (
                f"root = {json.dumps(str(root))}",
                "[grpc]",
                f"  address = [{json.dumps(self.address)}]",
                "[worker.containerd]",
                "  enabled = false",
                "[worker.oci]",
                "  enabled = true",
                f"  binary = {json.dumps(str(self.runc))}",
                '  networkMode = "host"',
                "  gc = true",
                f"  maxUsedSpace = {json.dumps(CACHE_KEPT)}",
                self.registry.configuration(str(self._ca_file) if self._ca_file else None) if self.registry else "",
            )
        )
        return write_private(self.paths.state / "config" / "buildkitd.toml", text)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
            return True

    def _refuse_what_cannot_work(self) -> None:
        if os.geteuid() != 0:
            raise CommandError(
                "Building images here needs root: BuildKit mounts file systems and starts containers. "
                "Run it as root, or name a builder of your own in the stack."
            )
        if len(os.fsencode(self.socket)) > SOCKET_PATH_MAX:
            raise CommandError(
                f"BuildKit's socket would be {self.socket}, and a socket's path may have {SOCKET_PATH_MAX} bytes. "
                f"Move {self.paths.checkout} to a shorter path."
            )
        if shutil.which(self.runc) is None:
            raise CommandError(
                f"{self.runc} cannot be run; BuildKit starts build steps with it. Install the package runc."
            )
