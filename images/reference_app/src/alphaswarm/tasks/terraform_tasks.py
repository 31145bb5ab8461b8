"""Plans and applies like Terraform, on resources that are entries of a file: no cloud is needed to see it work.

A workspace is locked while it is applied, as a Terraform backend locks it, so a second run of the same task fails.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import shared_task

from alphaswarm import storage

Resources = dict[str, dict[str, str]]


class WorkspaceLockedError(RuntimeError):
    """Another run applies this workspace."""


@shared_task
def plan(workspace: str, desired: Resources) -> dict[str, list[str]]:
    """Return what an apply would add, change and destroy."""
    return _changes(_state(workspace), desired)


@shared_task
def apply(workspace: str, desired: Resources) -> dict[str, list[str]]:
    """Apply the desired resources to the workspace, and return what was changed."""
    with _locked(workspace):
        changes = _changes(_state(workspace), desired)
        storage.replace(_file(workspace), json.dumps(desired, sort_keys=True).encode())
        return changes


def _changes(current: Resources, desired: Resources) -> dict[str, list[str]]:
    return {
        "add": sorted(desired.keys() - current.keys()),
        "change": sorted(name for name in desired.keys() & current.keys() if desired[name] != current[name]),
        "destroy": sorted(current.keys() - desired.keys()),
    }


def _state(workspace: str) -> Resources:
    try:
        state: Resources = json.loads(_file(workspace).read_text())
    except FileNotFoundError:
        return {}
    return state


def _file(workspace: str) -> Path:
    return storage.data() / "terraform" / f"{workspace}.json"


@contextmanager
def _locked(workspace: str) -> Iterator[None]:
    lock = _file(workspace).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise WorkspaceLockedError(f"{workspace} is being applied; remove {lock} if that run is gone") from None
    try:
        yield
    finally:
        lock.unlink()
