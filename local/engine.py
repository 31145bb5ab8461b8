"""The Pulumi engine as this checkout runs it: state in a local folder, plugins released or, failing that, stand-ins.

Released providers and the released language host are used wherever they are or can be fetched. Only where that is
refused do the stand-ins of offline go on PATH, and they announce themselves in every run.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths, private_folder
from common.private_files import persistent_secret
from common.progress import Progress
from local.engine_output import Condenser
from local.processes import start_time
from local.tools import Tools, ensured
from offline.launchers import install
from toolchain import find, released_language_host, released_plugin, try_install_plugin

DOCKER_BUILD = "pulumi-resource-docker-build"
STAND_INS = {"aws": "pulumi-resource-aws", "kubernetes": "pulumi-resource-kubernetes"}
LANGUAGE_HOST = "pulumi-language-python"
PIN = re.compile(r"^pulumi-(aws|kubernetes|docker-build)==([0-9.]+)", re.MULTILINE)

TIMED_OUT = 124  # the exit status of `timeout` in coreutils
# What an engine gets that has to end: it cancels what runs, then hurries, then is killed.
SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGINT, 5.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True)
class Engine:
    """A Pulumi CLI with everything it needs on its PATH."""

    pulumi: Path
    paths: Paths
    path: str
    stand_ins: tuple[str, ...]  # the plugins that are not Pulumi's own

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        condense: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Run the CLI with its output shown.

        An interrupt reaches the CLI as well, which then lets what it has begun come to an end, writes down where it
        is, and lets go of the stack: it is waited for, and a second interrupt makes it hurry.

        Args:
            arguments: The command and its options.
            cwd: The project's folder.
            env: Variables beside those of `environment`.
            condense: Show a few lines a resource, and write all of it to `<logs>/pulumi-<command>.log`.
            timeout: Seconds after which the run is cancelled; None waits for ever.

        Returns:
            The CLI's exit status, or TIMED_OUT.

        Raises:
            KeyboardInterrupt: the run was interrupted, and has ended.
        """
        stdout = subprocess.PIPE if condense else None
        process = subprocess.Popen([self.pulumi, *arguments], cwd=cwd, env=self.environment(env), stdout=stdout)
        if process.stdout is None:
            return _finish(process, timeout)
        log = private_folder(self.paths.logs) / f"pulumi-{arguments[0]}.log"
        with Condenser(process.stdout, log, sys.stdout):
            return _finish(process, timeout)

    def capture(self, *arguments: str, cwd: Path, stdin: str | None = None) -> str:
        """Run the CLI and return what it prints. Raises CommandError with its words when it fails."""
        done = subprocess.run(
            [self.pulumi, *arguments],
            cwd=cwd,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise CommandError(f"pulumi {' '.join(arguments[:2])} failed: {said}")
        return done.stdout

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the engine's environment: our state and passphrase, and no colours or updates of its own choice."""
        return {
            **os.environ,
            "PATH": self.path,
            "PULUMI_BACKEND_URL": backend_url(self.paths),
            "PULUMI_CONFIG_PASSPHRASE": persistent_secret(self.paths.run / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
            **(more or {}),
        }

    def release_stale_lock(self, stack: str, cwd: Path) -> None:
        """Free the stack from a run that was killed: its lock names a process that is gone."""
        for lock in (state_folder(self.paths) / ".pulumi" / "locks").rglob("*.json"):
            if lock.parent.name == stack and start_time(int(json.loads(lock.read_text()).get("pid", 0))) is None:
                self.capture("cancel", "--yes", "--stack", stack, cwd=cwd)
                return


def state_folder(paths: Paths) -> Path:
    """Pulumi's file backend of this checkout."""
    return private_folder(paths.state / "pulumi")


def backend_url(paths: Paths) -> str:
    """Return the same as the engine is told; every process of an engine of this checkout has it in its environment.

    Without `metadata=skip` each file has another of attributes beside it; a kill leaves that empty, and nothing loads.
    """
    return f"file://{state_folder(paths)}?metadata=skip"


def ensure_engine(paths: Paths, progress: Progress, *, builds_images: bool, tools: Tools | None = None) -> Engine:
    """Find, fetch or build the CLI and the plugins a stack needs, and choose stand-ins for what cannot be had.

    `tools` gives the programs where they are had in the background already.
    """
    have = tools or ensured(progress)
    pulumi = have("pulumi")["pulumi"]
    versions = pinned_versions(paths)
    folders = [paths.bin, pulumi.parent]
    if builds_images and try_install_plugin("docker-build", versions["docker-build"], pulumi, progress) is None:
        folders.append(have(DOCKER_BUILD)[DOCKER_BUILD].parent)
    missing = [name for name in STAND_INS if try_install_plugin(name, versions[name], pulumi, progress) is None]
    return _engine(paths, pulumi, folders, missing)


def find_engine(paths: Paths) -> Engine | None:
    """Return the engine if its parts are there already; nothing is built, nothing is fetched."""
    pulumi, docker_build = find("pulumi"), find(DOCKER_BUILD)
    if pulumi is None:
        return None
    folders = [paths.bin, pulumi.parent, *([docker_build.parent] if docker_build else [])]
    versions = pinned_versions(paths)
    return _engine(
        paths, pulumi, folders, [name for name in STAND_INS if released_plugin(name, versions[name]) is None]
    )


def pinned_versions(paths: Paths) -> Mapping[str, str]:
    """Return the providers' versions as requirements.in pins them; SDK and provider move together."""
    return dict(PIN.findall((paths.checkout / "requirements.in").read_text()))


def _engine(paths: Paths, pulumi: Path, folders: Sequence[Path], missing: Sequence[str]) -> Engine:
    launchers = [STAND_INS[name] for name in missing]
    if released_language_host() is None:
        launchers.append(LANGUAGE_HOST)
    install(private_folder(paths.bin), Path(sys.executable), launchers)
    path = os.pathsep.join([*map(str, folders), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return Engine(pulumi, paths, path, tuple(launchers))


def _finish(process: "subprocess.Popen[bytes]", timeout: float | None) -> int:
    """Wait for the process, whatever interrupts say, and cancel it after `timeout` seconds."""
    interrupted = False
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            status = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:
            interrupted = True
        except subprocess.TimeoutExpired:
            _cancel(process)
            status = TIMED_OUT
            break
        else:
            break
    if interrupted:
        raise KeyboardInterrupt
    return status


def _cancel(process: "subprocess.Popen[bytes]") -> None:
    for number, patience in SIGNALS:
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return
