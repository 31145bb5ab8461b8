"""A copy of this checkout with a state of its own, used as a person does: files, and `python -m local`.

It shares the virtual environment and the tool cache. Nothing in it changes the checkout that the tests run in.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.answer_cache import AnswerCache
from common.paths import Paths
from local.engine import Engine, pinned_versions
from local.processes import start_time

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {
    "source": "digests",
    "worker": f"registry.example/alphaswarm-worker@sha256:{'a1' * 32}",
    "executor": f"registry.example/alphaswarm-executor@sha256:{'b2' * 32}",
}


@dataclass(frozen=True)
class CommandResult:
    """A command's exit status and output."""

    status: int
    out: str
    err: str = ""

    @property
    def text(self) -> str:
        return self.out + self.err

    def ok(self) -> "CommandResult":
        shown = self.out[max(self.out.find("Diagnostics:"), 0) :][-6000:] + self.err[-2000:]
        assert self.status == 0, f"ended with status {self.status}:\n{shown}"
        return self


@dataclass(frozen=True)
class RecordingEngine(Engine):
    """An engine for LocalStack that records the results instead of showing the output."""

    results: list[CommandResult] = field(default_factory=list)

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        condense: bool = False,
        timeout: float | None = None,
    ) -> int:
        del condense, timeout
        done = subprocess.run(
            [self.pulumi, *arguments], cwd=cwd, env=self.environment(env), capture_output=True, text=True, check=False
        )
        self.results.append(CommandResult(done.returncode, done.stdout, done.stderr))
        return done.returncode


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout."""

    folder: Path

    @property
    def paths(self) -> Paths:
        return Paths(self.folder)

    def stack_file(self, stack: str) -> Path:
        return self.folder / f"Pulumi.{stack}.yaml"

    def config(self, stack: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.stack_file(stack).read_text())["config"]
        return found

    def configure(self, stack: str, **sections: object) -> None:
        """Write the stack's committed file with these sections changed; None removes one."""
        config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
        config |= {f"fleet:{key}": value for key, value in sections.items()}
        kept = {key: value for key, value in config.items() if value is not None}
        self.stack_file(stack).write_text(yaml.safe_dump({"config": kept}))

    def command(self, *arguments: str) -> list[str]:
        return [str(self.folder / ".venv" / "bin" / "python"), "-m", "local", *arguments]

    def local(self, *arguments: str, **env: str) -> CommandResult:
        """Run `python -m local ...` in the copy."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the same in a process group of its own, as a shell does; the output goes to `output_file`.

        A shell without job control ignores SIGINT in its background jobs, which inherit that: env resets it.
        """
        command = ("env", "--default-signal=INT", *self.command(*arguments))
        with self.output_file.open("wb") as output:
            return subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output, start_new_session=True)

    @property
    def output_file(self) -> Path:
        return self.folder.with_suffix(".output")

    def servers(self) -> dict[str, int]:
        """Return the pids of the copy's running servers by name."""
        found = {}
        for file in self.paths.run.glob("*.pid"):
            kept = json.loads(file.read_text())
            if start_time(kept["pid"]) == kept["started"]:
                found[file.stem] = int(kept["pid"])
        return found

    def plugins(self) -> list[str]:
        """Return the command lines of the plugins that run from the copy's launchers."""
        return [line for line in command_lines() if "offline" in line and str(self.folder) in line]

    def ports(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.paths.run / "ports.json").read_text())
        return found


def copy_checkout(folder: Path) -> Checkout:
    """Copy all files that git has or would add, and link the virtual environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name not in ("", ".venv") and (source.is_file() or source.is_symlink()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name, follow_symlinks=False)
    (folder / ".venv").symlink_to(sys.prefix)
    made = Checkout(folder)
    skip_plugin_downloads(made)
    made.configure("local", images=IMAGES)
    return made


def skip_plugin_downloads(checkout: Checkout) -> None:
    """Write the downloads that failed, as a first `up` does: they are not tried again for a while."""
    answers = AnswerCache(checkout.paths.state / "plugin-downloads.json")
    for name, version in pinned_versions(checkout.paths).items():
        answers.put(f"{name}-{version}", reachable=False)


def command_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines
