"""Copies of the program in a temporary folder, with a Pulumi state of its own: a bench leaves nothing behind.

The engine, its plugins and the tool cache are those of `make preview`.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from common.errors import CommandError
from common.paths import Paths, this_checkout
from common.progress import Progress
from local.engine import Engine, ensure_engine
from local.stack import LocalStack, offline_overrides
from tools.bench.measure import Command

PROGRAMS = Path(__file__).with_name("programs")
STACK, SOURCE = "prod", "staging"
NOWHERE = {"KUBECONFIG": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
FILES = ("__main__.py", "queues.py", "Pulumi.yaml", "requirements.in")
FOLDERS = ("components", "config", "manifests", "images/build")
QUIET = ("--non-interactive", "--suppress-progress")
NO_PATH = "no-commands"
SECRET = "[secret]"  # noqa: S105 what the engine shows instead of one

# Appended to a copy of queues.py: copies of each image's last row, under names of their own.
MORE_QUEUES = """
from dataclasses import replace as _replace

QUEUES = Catalogue(
    QUEUES.queues
    + tuple(
        _replace(QUEUES.of(IMAGES[number % 2])[-1], name=f"extra-{{number:04}}")
        for number in range({count} - len(QUEUES.queues))
    )
)
HEAVY_QUEUES = QUEUES.heavy_queues
WORKER_QUEUES = QUEUES.names - HEAVY_QUEUES
"""


@dataclass(frozen=True)
class Workspace:
    """A temporary folder with the programs to measure."""

    folder: Path
    progress: Progress

    @cached_property
    def engine(self) -> Engine:
        return ensure_engine(Paths(self.fleet()), self.progress, builds_images=False)

    def fleet(self, queues: int | None = None) -> Path:
        """Copy our program; with `queues`, with a catalogue of that many rows."""
        source, copy = this_checkout().checkout, self.folder / f"fleet-{queues or 'as-it-is'}"
        if copy.exists():
            return copy
        copy.mkdir()
        for name in (*FILES, *(file.name for file in source.glob("Pulumi.*.yaml"))):
            if (source / name).exists():
                shutil.copy(source / name, copy)
        for name in FOLDERS:
            shutil.copytree(source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / ".venv").symlink_to(sys.prefix)
        if queues is not None:
            with (copy / "queues.py").open("a") as rows:
                rows.write(MORE_QUEUES.format(count=queues))
        return copy

    def other(self, program: str) -> Path:
        """Copy one of the bench's own programs, and return its folder."""
        folder = self.folder / program
        if not folder.exists():
            folder.mkdir()
            shutil.copy(PROGRAMS / f"{program}.py", folder / "__main__.py")
            shutil.copy(this_checkout().checkout / "Pulumi.yaml", folder)
            (folder / ".venv").symlink_to(sys.prefix)
        return folder

    def flat(self) -> Path:
        """Copy the flat program, with the resources that our program registers, and return its folder."""
        folder = self.other("flat")
        resources = folder / "resources.json"
        if not resources.exists():
            resources.write_text(json.dumps(self._registered(), indent=1))
        return folder

    @cached_property
    def prod(self) -> LocalStack:
        """Stack `prod` without account and cluster, and beside it an empty stack that it promotes from."""
        LocalStack(self.engine, SOURCE).create()
        stack = LocalStack(self.engine, STACK, offline=True)
        stack.create()
        stack.configure(offline_overrides(stack.committed_file), None)
        return stack

    def preview(self, program: Path) -> Command:
        """Return the command that previews `prod` with the program in a folder."""
        return self.command("preview", self.prod, program, NOWHERE)

    def command(self, verb: str, stack: LocalStack, program: Path, more: Mapping[str, str], *arguments: str) -> Command:
        """Return a command of the engine, to be measured."""
        config = ("--stack", stack.name, "--config-file", str(stack.config_file))
        argv = (str(self.engine.pulumi), verb, *config, *QUIET, *arguments)
        return Command(argv, program, self.engine.environment(more))

    def mocked(self, program: Path) -> Command:
        """Return the command that runs the program without an engine, and without kubectl, which is no part of it."""
        config = self.folder / "config.json"
        if not config.exists():
            config.write_text(json.dumps(_as_the_engine_passes_it(self.fleet() / f"Pulumi.{STACK}.yaml")))
        nothing = self.folder / NO_PATH
        nothing.mkdir(exist_ok=True)
        argv = (sys.executable, str(PROGRAMS / "mocked.py"), str(program), str(config))
        return Command(argv, self.folder, {**os.environ, "PATH": str(nothing)})

    def _registered(self) -> list[dict[str, Any]]:
        """Return the custom resources of our preview in the order of their registration, providers first."""
        shown = replace(
            self.preview(self.fleet()),
            argv=(*self._without_display(self.preview(self.fleet()).argv), "--json"),
        ).measure()
        document = shown.output[shown.output.index("{\n") :]
        steps = json.JSONDecoder().raw_decode(document)[0]["steps"]
        found = [_resource(step) for step in steps if step["newState"].get("custom")]
        if not found:
            raise CommandError("the preview of prod registers nothing, so there is nothing to compare it with")
        return sorted(found, key=lambda one: not one["type"].startswith("pulumi:providers:"))

    @staticmethod
    def _without_display(argv: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in argv if word not in QUIET)


def _resource(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource as the flat program registers it. Unknown values keep the engine's mark.

    The only secrets of `prod` are the emulator's keys; the engine shows them as a text that is not the JSON they need.
    """
    state = step["newState"]
    inputs = {
        key: "hidden" if value == SECRET else value
        for key, value in state.get("inputs", {}).items()
        if not key.startswith("__")
    }
    return {"type": state["type"], "name": step["urn"].rpartition("::")[2], "inputs": inputs}


def _as_the_engine_passes_it(file: Path) -> dict[str, str]:
    config = yaml.safe_load(file.read_text())["config"]
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
