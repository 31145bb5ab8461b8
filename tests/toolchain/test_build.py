"""What is built lies under a name that its pins decide, whole or not at all, and is built once."""

import dataclasses
import shutil
import threading
from io import StringIO
from pathlib import Path

import pytest

from common.errors import CommandError
from common.progress import Progress
from tests.toolchain.conftest import Machine
from toolchain import build, golang
from toolchain.catalogue import Engine
from toolchain.running import Running


@pytest.mark.parametrize("pin", ["go.mod", "go.sum", "stub/stub.go"])
def test_a_changed_pin_is_another_folder(machine: Machine, engine: Engine, pin: str) -> None:
    machine.go()
    before = build.folder(engine, machine.modules)
    file = machine.modules / "engine" / pin
    file.write_text(file.read_text() + "// changed\n")
    assert build.folder(engine, machine.modules) != before, f"a new {pin} would be answered with the old binary"


def test_other_flags_are_another_folder(machine: Machine, engine: Engine) -> None:
    machine.go()
    other = dataclasses.replace(engine, link=("-X a.b=v9",))
    assert build.folder(other, machine.modules) != build.folder(engine, machine.modules)


def test_a_tool_whose_speed_is_measured_is_built_with_inlining_and_lies_apart(
    machine: Machine, engine: Engine, quiet: Progress, running: Running
) -> None:
    machine.go()
    measured = dataclasses.replace(engine, inlined=True)
    assert build.folder(measured, machine.modules) != build.folder(engine, machine.modules)
    build.build(measured, quiet, running, modules=machine.modules)
    (call,) = machine.builds()
    assert "-gcflags=all=-dwarf=false" in call["arguments"]


def test_another_go_is_another_folder(machine: Machine, engine: Engine) -> None:
    machine.go("1.26.8")
    before = build.folder(engine, machine.modules)
    machine.go("1.26.9")
    golang._version.cache_clear()
    assert build.folder(engine, machine.modules) != before


def test_checkouts_at_different_paths_share_one_folder(machine: Machine, engine: Engine, tmp_path: Path) -> None:
    machine.go()
    elsewhere = tmp_path / "another" / "checkout"
    shutil.copytree(machine.modules, elsewhere)
    (elsewhere / "engine" / ".go.mod.swp").write_text("an editor's file")
    assert build.folder(engine, elsewhere) == build.folder(engine, machine.modules), "each checkout would build anew"


def test_commands_stand_under_the_names_of_the_catalogue(
    machine: Machine, engine: Engine, quiet: Progress, running: Running
) -> None:
    machine.go()
    built = build.build(engine, quiet, running, modules=machine.modules)
    assert {file.name for file in (built / "bin").iterdir()} == {"keda-operator", "etcd"}
    assert {file.name for file in built.iterdir()} == {"bin"}, "scratch files would stay in the cache"
    assert build.find(engine, "etcd", machine.modules) == built / "bin" / "etcd"


def test_a_build_cannot_change_its_pins_or_follow_the_shell_elsewhere(
    machine: Machine, engine: Engine, quiet: Progress, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.go()
    for name, value in (
        ("GOOS", "plan9"),
        ("GOWORK", "/elsewhere/go.work"),
        ("GOTOOLCHAIN", "auto"),
        ("GOFLAGS", "-p=1"),
    ):
        monkeypatch.setenv(name, value)
    build.build(engine, quiet, running, modules=machine.modules)
    (call,) = machine.builds()
    arguments, env = call["arguments"], call["env"]
    assert {"-mod=readonly", "-trimpath"} <= set(arguments)
    assert "-s -w -X a.b=v1.2.3" in arguments
    assert "-gcflags=all=-l -dwarf=false" in arguments, "a first build would take half as long again"
    assert (env["GOTOOLCHAIN"], env["GOWORK"], env["CGO_ENABLED"]) == ("local", "off", "0")
    assert env["GOOS"] != "plan9"
    assert env["GOFLAGS"] == "-p=1", "what the machine says about how to build must reach Go"


def test_linking_fills_the_cache_disk_and_not_a_small_tmp(
    machine: Machine, engine: Engine, quiet: Progress, running: Running
) -> None:
    machine.go()
    build.build(engine, quiet, running, modules=machine.modules)
    (call,) = machine.builds()
    assert Path(call["env"]["GOTMPDIR"]).is_relative_to(machine.cache)


def test_a_built_engine_is_not_built_again(machine: Machine, engine: Engine, quiet: Progress, running: Running) -> None:
    machine.go()
    for _ in range(2):
        build.build(engine, quiet, running, modules=machine.modules)
    assert len(machine.builds()) == 1


def test_a_failed_build_says_why_and_leaves_nothing_half_made(
    machine: Machine, engine: Engine, quiet: Progress, running: Running
) -> None:
    machine.go()
    machine.broken.touch()
    with pytest.raises(CommandError, match="checksum mismatch") as caught:
        build.build(engine, quiet, running, modules=machine.modules)
    assert "downloading" not in str(caught.value), "progress lines would push the reason off the screen"
    assert build.find(engine, "etcd", machine.modules) is None
    assert [file.name for file in (machine.cache / "tools").iterdir() if file.is_dir()] == []
    machine.broken.unlink()
    assert build.build(engine, quiet, running, modules=machine.modules).is_dir()


def test_what_a_killed_build_left_behind_is_removed_and_never_used(
    machine: Machine, engine: Engine, quiet: Progress, running: Running
) -> None:
    machine.go()
    target = build.folder(engine, machine.modules)
    partial = target.with_name(target.name + ".partial-1") / "bin"
    partial.mkdir(parents=True)
    (partial / "half-a-binary").touch()
    assert build.find(engine, "half-a-binary", machine.modules) is None
    build.build(engine, quiet, running, modules=machine.modules)
    assert not (target / "bin" / "half-a-binary").exists()
    assert not partial.exists(), "each interruption would cost a gigabyte of disk for ever"


def test_two_builders_at_once_build_once(machine: Machine, engine: Engine, running: Running) -> None:
    machine.go(seconds=0.5)
    said = StringIO()
    threads = [
        threading.Thread(
            target=build.build, args=(engine, Progress(out=said), running), kwargs={"modules": machine.modules}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(machine.builds()) == 1
    assert "waiting for another process" in said.getvalue(), "the second would seem to hang"


def test_progress_names_what_is_built_and_how_many_remain(machine: Machine, engine: Engine, running: Running) -> None:
    machine.go()
    said = StringIO()
    build.build(engine, Progress(out=said), running, count="2 of 6", modules=machine.modules)
    assert "building engine 1.2.3 (2 of 6) (usually 1 s the first time)" in said.getvalue()
