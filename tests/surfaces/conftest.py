"""The committed tree, the stacks, and the real Kustomize."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.schema import Settings
from manifests import Manifest
from surfaces.stacks import stacks

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"

Kustomize = Callable[[Path], list[Manifest]]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def settings_of() -> Mapping[str, Settings]:
    return stacks(ROOT)


@pytest.fixture(scope="session")
def kustomize() -> Kustomize:
    """What `kubectl kustomize` makes of a folder; its message is the failure's."""

    def run(folder: Path) -> list[Manifest]:
        command = [str(KUBECTL), "kustomize", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return list(yaml.safe_load_all(done.stdout))

    return run


@pytest.fixture
def with_digests(tmp_path: Path) -> Callable[[Path, Mapping[str, str]], Path]:
    """A user's own kustomization beside an overlay, which names the images' digests."""

    def write(overlay: Path, references: Mapping[str, str]) -> Path:
        folder = tmp_path / "mine"
        folder.mkdir()
        entries: list[Any] = []
        for name, reference in references.items():
            repository, digest = reference.split("@")
            entries.append({"name": name, "newName": repository, "digest": digest})
        own = {"resources": [os.path.relpath(overlay, folder.resolve())], "images": entries}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
        return folder

    return write
