"""Runs a built image as a kubelet would: with runc, without privileges, on a read-only root, as any user.

Of the image only layers, environment and working directory are used. A container has no network unless it gets the
machine's own. Every mount is a tmpfs that vanishes with it.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.images.cases import BuiltCase

RUN_SECONDS = 300
DEVICES = {"source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}
MASKED = ["/proc/kcore", "/proc/keys", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]


@dataclass(frozen=True)
class User:
    """The user of a container."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Pod:
    """How a container is run; `mounted` are writable mounts."""

    user: User
    mounted: tuple[str, ...] = ("/tmp",)  # noqa: S108 as in the fleet's pods
    read_only: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False


@dataclass(frozen=True)
class Container:
    """A container that runs in the background."""

    runc: tuple[Path | str, ...]
    name: str
    pod: Pod
    process: subprocess.Popen[str]

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the command in it, as its user."""
        user = f"{self.pod.user.uid}:{self.pod.user.gid}"
        return _run([*self.runc, "exec", "--user", user, self.name, *command])

    def terminate(self) -> str:
        """Send SIGTERM to its first process, as a kubelet does, and return what it printed until it ended."""
        _run([*self.runc, "kill", self.name, "TERM"])
        return self.process.communicate(timeout=RUN_SECONDS)[0]


@dataclass(frozen=True)
class Unpacked:
    """An image's files in a folder, from which containers start."""

    case: BuiltCase
    program: Path
    folder: Path

    def run(self, pod: Pod, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a new container, to its end."""
        with self._bundle(pod, command) as run:
            return _run(run)

    @contextmanager
    def background(self, pod: Pod, *command: str) -> Iterator[Container]:
        """Run the command in a new container, which ends with the block at the latest."""
        with self._bundle(pod, command) as run:
            process = subprocess.Popen(
                run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            try:
                yield Container(self._runc, str(run[-1]), pod, process)
            finally:
                process.kill()
                process.wait()

    @property
    def _runc(self) -> tuple[Path | str, ...]:
        return (self.program, "--root", self.folder / "runc")

    @contextmanager
    def _bundle(self, pod: Pod, command: Sequence[str]) -> Iterator[list[Path | str]]:
        name = f"alphaswarm-{uuid.uuid4().hex[:12]}"
        bundle = self.folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._configuration(pod, command)))
        try:
            yield [*self._runc, "run", "--bundle", bundle, name]
        finally:
            _run([*self._runc, "delete", "--force", name])

    def _configuration(self, pod: Pod, command: Sequence[str]) -> dict[str, Any]:
        image = self.case.built
        spaces = ("pid", "ipc", "uts", "mount", *(() if pod.host_network else ("network",)))
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": pod.user.uid, "gid": pod.user.gid},
                "args": list(command) or [*image.config["Entrypoint"], *image.config["Cmd"]],
                "env": [f"{name}={value}" for name, value in {**image.env, **pod.env}.items()],
                "cwd": image.config["WorkingDir"],
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.folder / "rootfs"), "readonly": pod.read_only},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", **DEVICES},
                _tmpfs("/dev/shm"),  # noqa: S108
                *(_tmpfs(path) for path in pod.mounted),
            ],
            "linux": {"namespaces": [{"type": kind} for kind in spaces], "maskedPaths": MASKED},
        }


def unpack(case: BuiltCase, runc: Path, folder: Path) -> Unpacked:
    """Unpack the image's layers with tar: they have no whiteouts, which tar does not know."""
    root = folder / "rootfs"
    root.mkdir(parents=True)
    for layer in case.built.layers:
        subprocess.run(["tar", "--extract", "--numeric-owner", "--file", layer, "--directory", root], check=True)
    return Unpacked(case, runc, folder)


def _run(command: Sequence[Path | str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS, stdin=subprocess.DEVNULL
    )


def _tmpfs(path: str) -> dict[str, Any]:
    return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]}
