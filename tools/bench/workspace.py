"""A copy of the program in a temporary folder with an engine state of its own, so that a bench leaves nothing behind.

The engine, its plugins and the tool cache are those that `make preview` uses.
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
FOLDERS = ("components", "config", "manifests")
QUIET = ("--non-interactive", "--suppress-progress")
NO_PATH = "no-commands"
SECRET = "[secret]"  # noqa: S105 what the engine shows in its place

# Appended to a copy of queues.py: copies of the rows that scale the most usual way, under names of their own.
MORE_QUEUES = """
from dataclasses import replace as _replace

QUEUES = Catalogue(
    QUEUES.queues
    + tuple(
        _replace(QUEUES.queue("workflows" if number % 2 else "factors"), name=f"extra-{{number:04}}")
        for number in range({count} - len(QUEUES.queues))
    )
)
HEAVY_QUEUES = QUEUES.heavy_queues
WORKER_QUEUES = QUEUES.names - HEAVY_QUEUES
"""


@dataclass(frozen=True)
class Workspace:
    """One temporary folder, and the programs in it."""

    folder: Path
    progress: Progress

    @cached_property
    def engine(self) -> Engine:
        return ensure_engine(Paths(self.fleet()), self.progress, builds_images=False)

    def fleet(self, queues: int | None = None) -> Path:
        """A copy of our program; with `queues`, of a catalogue with that many rows."""
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
        """The folder of one of the bench's own programs."""
        folder = self.folder / program
        if not folder.exists():
            folder.mkdir()
            shutil.copy(PROGRAMS / f"{program}.py", folder / "__main__.py")
            shutil.copy(this_checkout().checkout / "Pulumi.yaml", folder)
            (folder / ".venv").symlink_to(sys.prefix)
        return folder

    def flat(self) -> Path:
        """The floor's folder, with the resources that our program registers."""
        folder = self.other("flat")
        resources = folder / "resources.json"
        if not resources.exists():
            resources.write_text(json.dumps(self._registered(), indent=1))
        return folder

    @cached_property
    def prod(self) -> LocalStack:
        """Stack `prod` without account and cluster, and an empty stack that it promotes from."""
        LocalStack(self.engine, SOURCE).create()
        stack = LocalStack(self.engine, STACK, offline=True)
        stack.create()
        stack.configure(offline_overrides(stack.committed_file), None)
        return stack

    def preview(self, program: Path) -> Command:
        """A preview of `prod` by the program in a folder."""
        return self.command("preview", self.prod, program, NOWHERE)

    def command(self, verb: str, stack: LocalStack, program: Path, more: Mapping[str, str], *arguments: str) -> Command:
        """An engine's command as it is timed."""
        config = ("--stack", stack.name, "--config-file", str(stack.config_file))
        argv = (str(self.engine.pulumi), verb, *config, *QUIET, *arguments)
        return Command(argv, program, self.engine.environment(more))

    def mocked(self, program: Path) -> Command:
        """The program without an engine, and without kubectl to ask: it is no part of the program."""
        config = self.folder / "config.json"
        if not config.exists():
            config.write_text(json.dumps(_as_the_engine_passes_it(self.fleet() / f"Pulumi.{STACK}.yaml")))
        nothing = self.folder / NO_PATH
        nothing.mkdir(exist_ok=True)
        argv = (sys.executable, str(PROGRAMS / "mocked.py"), str(program), str(config))
        return Command(argv, self.folder, {**os.environ, "PATH": str(nothing)})

    def _registered(self) -> list[dict[str, Any]]:
        """The custom resources of our preview, in the order in which they were registered, providers first."""
        shown = replace(
            self.preview(self.fleet()),
            argv=(*self._without_display(self.preview(self.fleet()).argv), "--json"),
        ).lap()
        document = shown.said[shown.said.index("{\n") :]
        steps = json.JSONDecoder().raw_decode(document)[0]["steps"]
        found = [_resource(step) for step in steps if step["newState"].get("custom")]
        if not found:
            raise CommandError("the preview of prod registers nothing, so there is no floor to compare with")
        return sorted(found, key=lambda one: not one["type"].startswith("pulumi:providers:"))

    @staticmethod
    def _without_display(argv: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in argv if word not in QUIET)


def _resource(step: Mapping[str, Any]) -> dict[str, Any]:
    """A resource as the floor registers it; what a preview cannot know keeps the engine's own mark for it.

    The only secrets of `prod` are the emulator's keys, and the engine's word for a secret is not the JSON they need.
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
