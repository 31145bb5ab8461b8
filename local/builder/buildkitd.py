"""BuildKit's daemon, which builds and pushes the images: one for a checkout, on a Unix socket in its state folder.

It runs as root with runc and the machine's own network. `http = false` for the registry is what makes BuildKit
speak TLS to a loopback address, which it would otherwise speak plain HTTP to.

Its layers may lie in a folder that checkouts share, so that ending one deletes no gigabytes and the next build finds
them. BuildKit locks its folder; where another checkout's daemon holds the shared one, a daemon has a folder of its own.
"""

import fcntl
import json
import os
import shutil
import socket
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths, private_folder
from common.private_files import write_private
from local.leftovers import end_build_steps, unmount_within
from local.ports import Ports
from local.processes import Daemon
from local.services.server import Server, ServerStatus, resident

SOCKET_PATH_MAX = 107  # bytes, of the kernel
CACHE_LIMIT = "20GB"  # layers and cache mounts beyond that are dropped, the longest unused first
STOP_SECONDS = 10.0  # it unmounts what it mounted


@dataclass(frozen=True)
class TrustedRegistry:
    """A registry as image references name it (`host:port`), and the authority that signed for it; None: plain HTTP."""

    address: str
    ca_file: Path | None

    def configuration(self, ca_file: str | None) -> str:
        """Return the registry's section of a BuildKit configuration, with the authority's file."""
        # JSON's strings are TOML's basic strings.
        lines = [f"[registry.{json.dumps(self.address)}]", f"  http = {'false' if ca_file else 'true'}"]
        return "\n".join([*lines, *([f"  ca = [{json.dumps(ca_file)}]"] if ca_file else [])]) + "\n"


@dataclass(frozen=True)
class BuildKit:
    """The daemon. Without a registry it does not push.

    `program` is buildkitd, `runc` what it runs build steps with. `shared` is the folder for layers that other
    checkouts use as well; None keeps them with the checkout.
    """

    program: Path
    runc: Path
    paths: Paths
    registry: TrustedRegistry | None
    shared: Path | None = None

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
        root = self._choose_root()
        try:
            self._server(root).start()
        except CommandError:
            if self._choose_root() == root:
                raise
            self._server(self._own_root).start()  # another checkout took the shared folder a moment ago

    def stop(self) -> None:
        """End it, and what a killed one left running or mounted; its layers stay."""
        root = self.root
        self._server(root or self._own_root).stop(STOP_SECONDS)
        if root is None:
            return
        with _lock(root) as locked:
            if locked:
                end_build_steps(root)
                unmount_within(root)

    @property
    def root(self) -> Path | None:
        """The folder of its layers, as it was last started; None where it never was."""
        try:
            return Path(tomllib.loads(self._config.read_text())["root"])
        except FileNotFoundError:
            return None

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        pid = self._daemon.pid()
        return ServerStatus(self._daemon.name, running=pid is not None, pid=pid, memory=pid and resident(pid))

    @property
    def _daemon(self) -> Daemon:
        return Daemon("buildkitd", self.paths.run, self.paths.logs)

    def _server(self, root: Path) -> Server:
        return Server(
            self._daemon,
            Ports(self.paths.run / "ports.json"),
            (),
            lambda: self._command(root),
            self._listens,
            env={"PATH": os.pathsep.join((str(self.runc.parent), os.environ.get("PATH", os.defpath)))},
            reads=(self._config, *([self._ca_file] if self._ca_file else [])),
            within=30.0,
        )

    @property
    def _own_root(self) -> Path:
        return self.paths.state / "state" / "buildkit"

    def _choose_root(self) -> Path:
        """Return the shared folder unless another daemon holds it; a running daemon keeps the one it has."""
        if self._daemon.alive() and (root := self.root) is not None:
            return root
        if self.shared is None:
            return self._own_root
        with _lock(self.shared) as locked:
            return self.shared if locked else self._own_root

    @property
    def _config(self) -> Path:
        return self.paths.state / "config" / "buildkitd.toml"

    @property
    def _ca_file(self) -> Path | None:
        return self.registry.ca_file if self.registry else None

    def _command(self, root: Path) -> Sequence[str | Path]:
        return [self.program, "--config", self._write_config(root)]

    def _write_config(self, root: Path) -> Path:
        text = "\n".join(
            (
                f"root = {json.dumps(str(private_folder(root)))}",
                "[grpc]",
                f"  address = [{json.dumps(self.address)}]",
                "[worker.containerd]",
                "  enabled = false",
                "[worker.oci]",
                "  enabled = true",
                f"  binary = {json.dumps(str(self.runc))}",
                '  networkMode = "host"',
                "  gc = true",
                f"  maxUsedSpace = {json.dumps(CACHE_LIMIT)}",
                self.registry.configuration(str(self._ca_file) if self._ca_file else None) if self.registry else "",
            )
        )
        return write_private(self._config, text)

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


@contextmanager
def _lock(root: Path) -> Iterator[bool]:
    """Hold the lock by which a daemon claims its folder; False where another holds it."""
    with (private_folder(root) / "buildkitd.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
