"""The launchers that the engine finds on PATH."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import CommandError
from offline.launchers import ALL, install


def test_a_launcher_is_written_for_each_stand_in_that_is_wanted_and_no_other(tmp_path: Path) -> None:
    install(tmp_path / "bin", Path(sys.executable))
    assert {file.name for file in (tmp_path / "bin").iterdir()} == set(ALL)
    install(tmp_path / "bin", Path(sys.executable), ["pulumi-language-python"])
    assert [file.name for file in (tmp_path / "bin").iterdir()] == ["pulumi-language-python"], (
        "a released provider installed since is hidden by a stand-in left behind"
    )


@pytest.mark.parametrize("name", ALL)
def test_a_launcher_serves_from_any_folder_and_ends_quietly(tmp_path: Path, name: str) -> None:
    install(tmp_path / "a folder", Path(sys.executable))
    (tmp_path / "offline").mkdir()  # must not be taken for the package of that name
    command = [str(tmp_path / "a folder" / name), "127.0.0.1:1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_what_cannot_be_installed_is_refused_with_what_can(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no stand-in for pulumi-resource-gcp; there are pulumi-language-python"):
        install(tmp_path, Path(sys.executable), ["pulumi-resource-gcp"])
    with pytest.raises(CommandError, match="there is none"):
        install(tmp_path, tmp_path / "no-python")
