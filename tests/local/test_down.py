"""`down` on a state folder that holds less than a fleet; with a real engine and API server see tests/engine."""

import os
import subprocess
from pathlib import Path

import pytest

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local import down as module
from local.down import down
from local.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A checkout on a machine without Pulumi."""
    monkeypatch.setattr(module, "find_engine", lambda _: None)
    paths = Paths(tmp_path / "checkout")
    (paths.state / "logs").mkdir(parents=True)
    return Workspace(paths, Progress())


def stack_in(workspace: Workspace, cluster: str) -> None:
    (workspace.paths.run).mkdir(parents=True)
    (workspace.paths.run / "cluster.chosen").write_text(cluster)
    file = workspace.paths.state / "pulumi" / ".pulumi" / "stacks" / "alphaswarm-fleet" / "local.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")


def test_what_an_up_left_that_was_cut_short_early_is_removed(workspace: Workspace) -> None:
    assert down(workspace) == 0
    assert not workspace.paths.state.exists()


def test_objects_in_a_cluster_that_stays_are_not_forgotten_when_the_engine_is_gone(workspace: Workspace) -> None:
    stack_in(workspace, "context:dev")
    with pytest.raises(CommandError, match="FORCE=1"):
        down(workspace)
    assert workspace.paths.state.exists()
    assert down(workspace, force=True) == 0
    assert not workspace.paths.state.exists()


def test_objects_in_the_embedded_cluster_end_with_it(workspace: Workspace) -> None:
    stack_in(workspace, "embedded")
    assert down(workspace) == 0
    assert not workspace.paths.state.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_that_a_killed_builder_left_does_not_keep_the_folder(workspace: Workspace) -> None:
    point = workspace.paths.state / "state" / "buildkit" / "snapshot"
    point.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        assert down(workspace) == 0
        assert not workspace.paths.state.exists()
    finally:
        subprocess.run(["umount", point], capture_output=True, check=False)
