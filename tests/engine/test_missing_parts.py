"""A machine that lacks a part is told how to get it; a released plugin that is there is used."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.paths import Paths
from local.engine import find_engine

from .checkout import Checkout
from .fleet import Fleet

pytestmark = pytest.mark.engine

BARE = """
import importlib.util, sys
from pathlib import Path
from toolchain import golang, search
golang._USUAL_PLACE = Path("/nonexistent")  # where this machine may have a Go
search._USUAL_FOLDERS = ()
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pip" else found(name, *rest)
sys.argv = ["local", "up"]
from local.__main__ import main
sys.exit(main())
"""


def test_without_go_pip_and_pulumi_up_says_once_what_to_install(
    new_checkout: Callable[[str], Checkout], tmp_path: Path
) -> None:
    checkout = new_checkout("lacking")
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path), "ALPHASWARM_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [checkout.folder / ".venv" / "bin" / "python", "-c", BARE],
        cwd=checkout.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("there is neither a Go toolchain on PATH nor pip") == 1, done.stderr
    assert "Install Go" in done.stderr
    assert done.stderr.count("packages redis-server") == 1, "the next run would only then say what else is missing"
    assert "Traceback" not in done.stdout + done.stderr
    assert checkout.servers() == {}


def test_a_released_plugin_on_path_is_used_and_no_stand_in_is_installed_for_it(
    new_checkout: Callable[[str], Checkout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, called = tmp_path / "pulumi-resource-aws", tmp_path / "called"
    released.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    released.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    fleet = Fleet(new_checkout("released"))
    engine = fleet.stack.engine
    assert "pulumi-resource-aws" not in engine.stand_ins
    assert not (engine.paths.bin / "pulumi-resource-aws").exists()
    assert shutil.which("pulumi-resource-aws", path=engine.path) == str(released)
    fleet.stack.create()
    fleet.configure()
    assert fleet.pulumi("preview").status != 0
    assert called.exists(), "the engine started another plugin"


def test_a_stand_in_is_withdrawn_as_soon_as_the_released_plugin_is_there(
    tmp_path: Path, new_checkout: Callable[[str], Checkout], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: Paths = new_checkout("withdrawn").paths
    before = find_engine(paths)
    assert before is not None
    if "pulumi-resource-kubernetes" not in before.stand_ins:
        pytest.skip("this machine has the released Kubernetes provider")
    assert (paths.bin / "pulumi-resource-kubernetes").exists()
    (tmp_path / "pulumi-resource-kubernetes").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    find_engine(paths)
    assert not (paths.bin / "pulumi-resource-kubernetes").exists()
