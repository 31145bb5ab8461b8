"""The image tests' own BuildKit, whose state is cached beside the tools.

A build of both images takes minutes with an empty cache, and seconds with a full one, so the state is kept for the
next run of any checkout of this user. It may be deleted at any time. One run at a time holds it, with a file lock that
the kernel releases when a run is killed; a second run at the same time builds in a temporary state. BuildKit itself
removes what was unused for longest. A builder that a killed run left behind is found by its pid file.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    """A running builder, buildctl and runc, and a folder for results that is emptied afterwards."""

    builder: Builder
    buildctl: Path
    runc: Path
    scratch: Path


def missing_for_builds() -> str | None:
    """Return why this machine cannot build images; None when it can."""
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
def cached_environment(progress: Progress) -> Iterator[BuildEnvironment]:
    """Start a builder on the cached state, or on a temporary one while another run holds that."""
    with ExitStack() as stack:
        folder = _locked_cache(stack, progress) or stack.enter_context(temporary_folder())
        yield stack.enter_context(_started(folder, progress))


@contextmanager
def temporary_environment(progress: Progress) -> Iterator[BuildEnvironment]:
    """Start a builder with an empty cache, and leave nothing."""
    with temporary_folder() as folder, _started(folder, progress) as environment:
        yield environment


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder with room for gigabytes and a path short enough for sockets; delete it afterwards."""
    with tempfile.TemporaryDirectory(prefix="alphaswarm-", dir=LARGE) as folder:
        yield Path(folder)


def _locked_cache(stack: ExitStack, progress: Progress) -> Path | None:
    """Return the folder of the cached state, locked until the stack is closed; None when it cannot be used."""
    folder = paths.cache() / "image-tests"
    if not _socket_fits(folder):
        progress.say(f"  !!  {folder} is too long a path for BuildKit: building in a temporary state, from nothing")
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = stack.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.say("  !!  another run holds the cached BuildKit state: building in a temporary one, from nothing")
        return None
    return folder


@contextmanager
def _started(folder: Path, progress: Progress) -> Iterator[BuildEnvironment]:
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
