"""A stack as this checkout runs it: the committed file, plus what only this machine knows.

The committed file is never written to. A copy under .local/stack/ takes the addresses of what runs here, the broker's
password (encrypted) and the engine's salt, and the engine is told to use that copy.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import CommandError
from common.paths import private_folder
from common.private_files import write_private
from config.application import PYTHON, REFERENCE_APPLICATION, is_remote
from config.schema import CELERY_APP, BuildImages
from local.engine import Engine

PASSWORD_KEY = "fleet:brokerPassword"  # noqa: S105 the key's name
PLAIN_DISPLAY = ("--non-interactive", "--suppress-progress", "--color", "never")  # where the output is no terminal
CONDENSED = ("up", "destroy")  # a preview's rows are what it is asked for
NOWHERE = "http://127.0.0.1:9"  # the discard port: a preview makes no call, and one that did would fail at once


@dataclass(frozen=True)
class LocalStack:
    """One stack of this checkout's own backend."""

    engine: Engine
    name: str
    offline: bool = False

    @property
    def folder(self) -> Path:
        """A project of the same name, so that the engine writes its salt there and not into the committed file."""
        return private_folder(self.engine.paths.state / "stack")

    @property
    def salt_file(self) -> Path:
        """The engine's own file of this stack: its salt, and the password encrypted with it."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    @property
    def config_file(self) -> Path:
        """The copy that the engine reads; a preview without a cluster has one of its own."""
        return self.folder / f"{'offline' if self.offline else 'here'}.{self.name}.yaml"

    @property
    def committed_file(self) -> Path:
        """The stack's file as everybody has it."""
        return stack_file(self.engine.paths.checkout, self.name)

    def create(self) -> None:
        """Make the stack in the local backend unless it is there."""
        if self.name not in self.stacks():
            self.engine.capture("stack", "init", self.name, "--non-interactive", cwd=self.folder)

    def stacks(self) -> Mapping[str, Mapping[str, Any]]:
        """List the stacks of the backend by name, with `resourceCount` and `lastUpdate`."""
        self._project()
        listed = json.loads(self.engine.capture("stack", "ls", "--json", cwd=self.folder))
        return {stack["name"].rpartition("/")[2]: stack for stack in listed}

    def configure(self, overrides: Mapping[str, Any], password: str | None) -> None:
        """Write the copy: the committed keys, `overrides` merged into them, and the broker's password encrypted."""
        if password is not None and PASSWORD_KEY not in _config(self.salt_file):
            self.engine.capture(
                "config", "set", "--secret", PASSWORD_KEY, "--stack", self.name, cwd=self.folder, stdin=password
            )
        config = _merged(_config(self.committed_file), overrides)
        own = _read(self.salt_file)
        merged = {**own, "config": {**config, **(own.get("config") or {})}}
        write_private(self.config_file, yaml.safe_dump(merged, sort_keys=True))

    def run(
        self, command: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> int:
        """Run `pulumi <command>` on this stack and return its exit status, or `engine.TIMED_OUT`."""
        self.engine.release_stale_lock(self.name, self.folder)
        display = () if sys.stdout.isatty() else PLAIN_DISPLAY
        return self.engine.run(
            command,
            "--stack",
            self.name,
            "--config-file",
            str(self.config_file),
            *display,
            *arguments,
            cwd=self.engine.paths.checkout,
            env=env,
            condense=bool(display) and command in CONDENSED,
            timeout=timeout,
        )

    def outputs(self) -> Mapping[str, Any]:
        """Return what the stack exports."""
        found: Mapping[str, Any] = json.loads(
            self.engine.capture("stack", "output", "--json", "--stack", self.name, cwd=self.folder)
        )
        return found

    def resources(self) -> Sequence[Mapping[str, Any]]:
        """Return the resources in the state, as the engine exports them."""
        found: Sequence[Mapping[str, Any]] = self._deployment().get("resources") or ()
        return found

    def pending_creates(self) -> frozenset[str]:
        """Return the types of what a killed run was creating: it may exist, and the state does not say so."""
        pending = self._deployment().get("pending_operations") or ()
        return frozenset(one["resource"]["type"] for one in pending if one["type"] == "creating")

    def clear_pending_operations(self) -> None:
        """Take them out of the state; the engine itself would only warn of them, every time anew."""
        self.engine.release_stale_lock(self.name, self.folder)
        self.engine.capture("stack", "import", "--stack", self.name, cwd=self.folder, stdin=self._exported())

    def _deployment(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self._exported())["deployment"]
        return found

    def _exported(self) -> str:
        return self.engine.capture("stack", "export", "--stack", self.name, cwd=self.folder)

    def _project(self) -> None:
        project = self.folder / "Pulumi.yaml"
        project.write_text("name: alphaswarm-fleet\nruntime: python\n")


def offline_overrides(settings_file: Path) -> dict[str, Any]:
    """Return what a preview without an account and a cluster puts over a stack's file."""
    config = _config(settings_file)
    return {"fleet:aws": {"endpoint": NOWHERE}} if "fleet:aws" in config else {}


def stack_file(checkout: Path, name: str) -> Path:
    """Return a stack's file. Raises CommandError, naming the stacks there are, when it has none."""
    file = checkout / f"Pulumi.{name}.yaml"
    if not file.exists():
        names = sorted(other.name.split(".")[1] for other in checkout.glob("Pulumi.*.yaml"))
        raise CommandError(f"There is no stack {name!r}; the stacks are {', '.join(names)}.")
    return file


def builds_images(settings_file: Path) -> bool:
    """Return whether the stack builds its images, which takes a plugin of its own."""
    return images_section(settings_file).get("source") == "build"


def promotion_source(settings_file: Path) -> str | None:
    """Return the name of the stack whose digests this one deploys; None where it promotes from none."""
    source = images_section(settings_file).get("stack")
    return str(source).rpartition("/")[2] if source else None


def application_lock(settings_file: Path) -> Path | None:
    """Return the uv.lock of the application that the stack builds; None where that lies in a git repository."""
    given = application(settings_file)
    return None if is_remote(given) else settings_file.parent / given / "uv.lock"


def application(settings_file: Path) -> str:
    """Return the folder or git reference of the application that the stack builds."""
    return str(images_section(settings_file).get("application", REFERENCE_APPLICATION))


def celery_app(settings_file: Path) -> str:
    """Return the module of the stack's Celery application."""
    return str(_config(settings_file).get("fleet:celeryApp", CELERY_APP))


def images_python(settings_file: Path) -> str:
    """Return the version of Python that the stack wants in its images."""
    return str(images_section(settings_file).get("python", PYTHON))


def built_images(settings_file: Path, overrides: Mapping[str, Any]) -> BuildImages:
    """Return how the stack builds its images, with what this machine says over its file.

    Raises:
        pydantic.ValidationError: the file says it wrongly.
    """
    return BuildImages.model_validate(_merged(images_section(settings_file), overrides))


def images_section(settings_file: Path) -> dict[str, Any]:
    """Return `fleet:images` as it was written, empty where it is no mapping."""
    images = _config(settings_file).get("fleet:images")
    return images if isinstance(images, dict) else {}  # the program says what is wrong with it


def _merged(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the overrides, mapping by mapping."""
    merged = dict(config)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _config(file: Path) -> dict[str, Any]:
    config: dict[str, Any] = _read(file).get("config") or {}
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise CommandError(f"{file.name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise CommandError(f"{file.name} holds no mapping. It needs `config:` with keys such as fleet:environment.")
    return document
