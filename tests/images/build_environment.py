"""Where the image tests build: a BuildKit of their own, whose state outlives them in the tool cache.

A cold build of both images takes minutes, a warm one seconds, so the state is kept for the next run, of any checkout
of this user. It is never needed: from an empty folder everything is built again. One run holds it at a time, by a lock
of the kernel's that a killed run lets go of; a second run beside it builds in a temporary state, from nothing. BuildKit
itself drops what was unused longest, beyond its own limit. A builder that a killed run left is found by its pid file.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local.builder import Builder
from local.builder.buildkitd import SOCKET_PATH_MAX, BuildKit
from local.builder.factory import TOOLS, ensure_builder
from offline.base_image.build import native_architecture
from toolchain import ensure

LARGE = Path("/var/tmp")  # noqa: S108 unlike /tmp it is on a disk, and gigabytes are written


@dataclass(frozen=True)
class BuildEnvironment:
    """A running builder, the programs to use it and look at what it made, and a folder that is emptied afterwards."""

    builder: Builder
    buildctl: Path
    runc: Path
    scratch: Path


def missing() -> str | None:
    """What this machine lacks for building images, in words; None when it can."""
    if os.geteuid() != 0:
        return "building images needs root: BuildKit mounts file systems and starts containers"
    if not _may_mount():
        return "building images needs the right to mount, which this container does not have"
    try:
        native_architecture()
        ensure(TOOLS, Progress())
    except CommandError as lacking:
        return str(lacking)
    return None


@contextmanager
def kept_workshop(progress: Progress) -> Iterator[BuildEnvironment]:
    """A environment in the kept state, or in a temporary one while another run holds it."""
    folder = paths.cache() / "image-tests"
    if not _socket_fits(folder):
        progress.say(f"  !!  {folder} is too long a path for BuildKit: building in a temporary state, from nothing")
        with temporary_workshop(progress) as environment:
            yield environment
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("  !!  another run holds the kept BuildKit state: building in a temporary one, from nothing")
            with temporary_workshop(progress) as environment:
                yield environment
            return
        with _opened(folder, progress) as environment:
            yield environment


@contextmanager
def temporary_workshop(progress: Progress) -> Iterator[BuildEnvironment]:
    """A environment that has built nothing yet, and leaves nothing."""
    with temporary_folder() as folder, _opened(folder, progress) as environment:
        yield environment


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for gigabytes that is short enough for sockets, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alphaswarm-", dir=LARGE) as folder:
        yield Path(folder)


@contextmanager
def _opened(folder: Path, progress: Progress) -> Iterator[BuildEnvironment]:
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed run
    scratch.mkdir(mode=0o700)
    service = ensure_builder(Paths(folder), None, progress)
    tools = ensure(TOOLS, progress)
    try:
        yield BuildEnvironment(service.start(progress), tools["buildctl"], tools["runc"], scratch)
    finally:
        service.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def _socket_fits(folder: Path) -> bool:
    unused = Path("unused")
    return len(os.fsencode(BuildKit(unused, unused, Paths(folder), None).socket)) <= SOCKET_PATH_MAX


def _may_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
