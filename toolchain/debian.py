"""Installs Debian packages, all missing ones in one call, without starting or enabling a server.

A Redis on 6379 that the machine's owner never asked for would be ours to blame. While apt runs, a policy-rc.d
forbids every start; it also asks whether our process still lives, so that one left behind by a crash forbids
nothing. On systemd a package enables its unit for the next boot as well; that is undone for packages installed here.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from toolchain.catalogue import Debian

_POLICY = Path("/usr/sbin/policy-rc.d")
_LOG_LINES_SHOWN = 10
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C.UTF-8"}


def possible() -> bool:
    """Whether packages can be installed here without asking anybody."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def by_hand(packages: Sequence[Debian]) -> str:
    """Return what a person types where `possible` is false."""
    names = " ".join(package.package for package in packages)
    if shutil.which("apt-get") is not None:
        return f"sudo apt-get install --no-install-recommends {names}"
    return f"install the equivalents of the Debian packages {names} with this machine's package manager"


def install(packages: Sequence[Debian], progress: Progress, count: str = "", policy: Path = _POLICY) -> None:
    """Install `packages`; raises CommandError with apt's last lines when that fails."""
    names = [package.package for package in packages]
    label = f"installing {', '.join(names)} with apt-get" + (f" ({count})" if count else "")
    with progress.step(label, usual="10 s"), _nothing_starts(policy):
        if not _all_known(names):
            _apt("update")
        try:
            _install(names)
        except CommandError:
            _apt("update")  # the lists may be older than the mirror, and name files that are gone
            _install(names)
    _not_at_boot(packages)


def _install(names: Sequence[str]) -> None:
    _apt("install", "--yes", "--no-install-recommends", *names)


def _all_known(names: Sequence[str]) -> bool:
    return all(
        subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0 for name in names
    )


def _apt(*arguments: str) -> None:
    log = paths.private_folder(paths.this_checkout().logs) / "apt.log"
    with log.open("a") as out:
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
        code = subprocess.run(
            command, env={**os.environ, **_QUIET}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
        ).returncode
    if code != 0:
        last = tail(log.read_text(errors="replace"), _LOG_LINES_SHOWN, indent="  ")
        raise CommandError(f"apt-get {' '.join(arguments)} ended with {code}:\n{last}\nAll of it: {log}")


@contextmanager
def _nothing_starts(policy: Path) -> Iterator[None]:
    if policy.exists() or not policy.parent.is_dir():
        yield  # the machine's own policy stands; RUNLEVEL=1 still keeps sysv servers down
        return
    policy.write_text(f"#!/bin/sh\nkill -0 {os.getpid()} 2>/dev/null && exit 101\nexit 0\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def _not_at_boot(packages: Sequence[Debian]) -> None:
    services = [service for package in packages for service in package.services]
    if services and shutil.which("systemctl") is not None:
        subprocess.run(["systemctl", "disable", "--quiet", *services], capture_output=True, check=False)
