"""Which images a stack runs: its output `images`, each by digest."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths
from components.support.placeholder_digest import PLACEHOLDER_DIGEST
from local.ports import Ports

LOCAL = "local"


@dataclass(frozen=True)
class Deployed:
    """The image references of a stack; `ca_file` is for a registry that this machine does not trust."""

    references: tuple[str, ...]
    ca_file: Path | None = None


def deployed(name: str, paths: Paths) -> Deployed:
    """Return the images that a stack exports.

    Args:
        name: `local` is this checkout's own; any other is one of the engine that is logged in here.
        paths: this checkout's.

    Raises:
        CommandError: the stack does not export any.
    """
    if name != LOCAL:
        return Deployed(_built(name, _ask(name, paths.checkout)))
    return _on_this_machine(paths)


def _on_this_machine(paths: Paths) -> Deployed:
    # What only stack local needs: a runner that deploys has the program's requirements and no others.
    from local.engine import find_engine
    from local.services.factory import find_services
    from local.stack import LocalStack

    engine = find_engine(paths)
    stack = LocalStack(engine, LOCAL) if engine else None
    registry = find_services(paths, Ports(paths.run / "ports.json")).registry
    if stack is None or LOCAL not in stack.stacks() or not registry.status().running:
        raise CommandError("Stack local is not up on this machine, so there is no image to look into. Run `make up`.")
    return Deployed(_built(LOCAL, stack.outputs().get("images")), registry.ca_file)


def _built(name: str, images: Mapping[str, str] | None) -> tuple[str, ...]:
    found = tuple(reference for _, reference in sorted((images or {}).items()))
    if not found or any(reference.endswith(PLACEHOLDER_DIGEST) for reference in found):
        raise CommandError(f"Stack {name} exports no images yet. Run `pulumi up` on it first.")
    return found


def _ask(name: str, checkout: Path) -> Mapping[str, str] | None:
    command = ["pulumi", "stack", "output", "--json", "--non-interactive", "--stack", name]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CommandError("There is no pulumi on PATH to ask. Give the images: NAME@sha256:DIGEST.") from None
    if done.returncode:
        raise CommandError(f"pulumi does not tell the outputs of stack {name}: {done.stderr.strip()}")
    images: Mapping[str, str] | None = json.loads(done.stdout).get("images")
    return images
