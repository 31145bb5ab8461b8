"""What is needed first is handed out while the rest is still being had, and an interrupt ends all of it."""

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import toolchain
from common.errors import CommandError
from common.progress import Progress
from toolchain import debian, ensure_in_background
from toolchain.__main__ import main
from toolchain.catalogue import Debian
from toolchain.running import Running, StoppedError

from .conftest import Machine


@pytest.fixture(autouse=True)
def plain_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.go()
    monkeypatch.setattr(debian, "possible", lambda: False)


def _until(true: Callable[[], bool], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def _held_go(machine: Machine, module: str) -> Path:
    """A Go whose build of `module` does not end before the file is there that is returned."""
    go, pretended = machine.bin / "go", machine.bin / "go-pretended"
    go.rename(pretended)
    gate = machine.root / f"{module}-may-end"
    script = f'case "$1 $PWD" in "build "*/{module}) until [ -e {gate} ]; do /bin/sleep 0.02; done;; esac\n'
    machine.command("go", f'{script}exec {pretended} "$@"')
    return gate


def test_what_is_there_is_handed_out_while_another_tool_is_built(machine: Machine, quiet: Progress) -> None:
    gate = _held_go(machine, "keda")
    with ensure_in_background(["buildctl", "keda-operator"], quiet) as tools:
        assert tools.wait("buildctl")["buildctl"].exists()
        assert toolchain.find("keda-operator") is None, "nothing was left to wait for"
        gate.touch()
        assert tools.wait("keda-operator")["keda-operator"].exists()


def test_leaving_the_block_waits_for_the_rest(machine: Machine, quiet: Progress) -> None:
    with ensure_in_background(["buildctl", "keda-operator"], quiet):
        pass
    assert {Path(call["cwd"]).name for call in machine.builds()} == {"buildkit", "keda"}
    assert toolchain.find("keda-operator") is not None


def test_one_module_is_compiled_at_a_time(machine: Machine, quiet: Progress) -> None:
    gate = _held_go(machine, "pulumi")
    with ensure_in_background(["pulumi", "etcd"], quiet) as tools:
        _until(lambda: any(call["arguments"][:2] == ["mod", "download"] for call in machine.calls()))
        assert machine.builds() == [], "two compilers would each take all cores"
        gate.touch()
        tools.wait()
    assert [Path(call["cwd"]).name for call in machine.builds()] == ["pulumi", "etcd"]


def test_modules_of_later_builds_are_downloaded_while_the_first_is_compiled(machine: Machine, quiet: Progress) -> None:
    gate = _held_go(machine, "pulumi")
    with ensure_in_background(["pulumi", "etcd", "keda-operator"], quiet):
        _until(lambda: len(_downloads(machine)) == 2)
        gate.touch()
    assert _downloads(machine) == ["etcd", "keda"]


def _downloads(machine: Machine) -> list[str]:
    return [Path(call["cwd"]).name for call in machine.calls() if call["arguments"] == ["mod", "download"]]


def test_packages_come_while_a_module_is_compiled(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(_packages: list[Debian], _progress: Progress, _count: str = "") -> None:
        machine.command("redis-server", "echo Redis server v=7.0.15")

    monkeypatch.setattr(debian, "possible", lambda: True)
    monkeypatch.setattr(debian, "install", install)
    gate = _held_go(machine, "pulumi")
    with ensure_in_background(["pulumi", "redis-server"], quiet) as tools:
        assert tools.wait("redis-server")["redis-server"] == machine.bin / "redis-server"
        assert machine.builds() == []
        gate.touch()


def test_a_failure_is_raised_to_those_who_wait_for_that_tool(machine: Machine, quiet: Progress) -> None:
    _failing(machine, "keda")
    tools = ensure_in_background(["keda-operator", "buildctl"], quiet)
    assert tools.wait("buildctl")["buildctl"].exists(), "one tool's failure would be everybody's"
    with pytest.raises(CommandError, match=r"keda .* could not be built"):
        tools.wait("keda-operator")
    tools.close()


def test_a_failure_that_nobody_waited_for_is_not_lost(machine: Machine, quiet: Progress) -> None:
    _failing(machine, "keda")
    with (
        pytest.raises(CommandError, match=r"keda .* could not be built"),
        ensure_in_background(["keda-operator"], quiet),
    ):
        pass


def _failing(machine: Machine, module: str) -> None:
    pretended = machine.bin / "go-pretended"
    (machine.bin / "go").rename(pretended)
    machine.command("go", f'case "$1 $PWD" in "build "*/{module}) exit 1;; esac\nexec {pretended} "$@"')


def test_an_interrupt_ends_the_compiler_with_its_children_and_leaves_nothing_half_made(
    machine: Machine, quiet: Progress
) -> None:
    pids, began = _hanging(machine), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(["keda-operator", "pulumi"], quiet, lambda: _begun(pids))
    assert time.monotonic() - began < 60
    for pid in pids.read_text().split():
        _until(lambda pid=pid: not _runs(int(pid)))  # type: ignore[misc]
    assert [path.name for path in (machine.cache / "tools").iterdir() if path.is_dir()] == []
    assert machine.builds() == [], "the next build would begin after the interrupt"


def _hanging(machine: Machine) -> Path:
    """Let no build end by itself; the file that is returned will hold the pids of Go and of a child of it."""
    pids, pretended = machine.root / "pids", machine.bin / "go-pretended"
    (machine.bin / "go").rename(pretended)
    hanging = f'if [ "$1" = build ]; then /bin/sleep 600 & echo $$ $! > {pids}; wait; fi\n'
    machine.command("go", f'{hanging}exec {pretended} "$@"')
    return pids


def _begun(pids: Path) -> bool:
    return pids.exists() and len(pids.read_text().split()) == 2


def test_the_command_ends_on_an_interrupt_as_shells_expect_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = _hanging(machine)

    def interrupt() -> None:
        _until(lambda: _begun(pids))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["keda-operator"]) == 130
    thread.join()
    assert capsys.readouterr().err.endswith("Interrupted. The same command goes on from here.\n")
    _until(lambda: not any(_runs(int(pid)) for pid in pids.read_text().split()))


def _interrupted(names: list[str], progress: Progress, when: Callable[[], bool]) -> None:
    with ensure_in_background(names, progress):
        _until(when)
        raise KeyboardInterrupt


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_cannot_be_had_is_said_before_anything_begins(machine: Machine, quiet: Progress) -> None:
    with pytest.raises(CommandError, match="redis-server"):
        ensure_in_background(["pulumi", "redis-server"], quiet)
    assert machine.builds() == []


def test_a_tool_that_was_not_asked_for_is_refused(quiet: Progress) -> None:
    with (
        ensure_in_background(["etcd"], quiet) as tools,
        pytest.raises(CommandError, match=r"pulumi was not asked for.*etcd"),
    ):
        tools.wait("pulumi")


def test_several_may_wait_at_once(machine: Machine, quiet: Progress) -> None:
    gate, got = _held_go(machine, "etcd"), list[Path]()
    with ensure_in_background(["etcd"], quiet) as tools:
        threads = [threading.Thread(target=lambda: got.append(tools.wait("etcd")["etcd"])) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.touch()
        for thread in threads:
            thread.join()
    assert len(got) == 2


def test_whoever_waits_for_a_tool_that_was_not_begun_is_let_go_when_all_is_ended(
    machine: Machine, quiet: Progress
) -> None:
    _held_go(machine, "buildkit")
    tools = ensure_in_background(["buildctl", "keda-operator"], quiet)
    waiting = threading.Thread(target=lambda: _fails_to_wait(tools), daemon=True)
    waiting.start()
    tools._compiler.shutdown(wait=False, cancel_futures=True)  # what `close` does before or after the build ends
    tools.close()
    waiting.join(10)
    assert not waiting.is_alive(), "the command hangs after an interrupt"
    tools.close()


def _fails_to_wait(tools: toolchain.Background) -> None:
    with pytest.raises((CommandError, CancelledError)):
        tools.wait("keda-operator")


def test_lines_of_several_threads_stay_whole() -> None:
    class Pieces(io.StringIO):
        """A terminal that another thread may write to between any two writes."""

        def write(self, text: str) -> int:
            assert text.endswith("\n"), "a line of another thread may come between the two"
            return super().write(text)

    Progress(out=Pieces()).say("one line")


def test_nothing_is_started_after_the_end(tmp_path: Path) -> None:
    running = Running()
    running.stop()
    with pytest.raises(StoppedError), (tmp_path / "out").open("wb") as out:
        running.run(["/bin/true"], cwd=tmp_path, env=os.environ, out=out)


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolchain.running._PATIENCE_SECONDS", 0.2)
    running, ready = Running(), tmp_path / "ready"
    script = f"trap '' TERM; echo $$ > {ready}; while :; do /bin/sleep 0.05; done"

    def run() -> None:
        with (tmp_path / "out").open("wb") as out, pytest.raises(StoppedError):
            running.run(["/bin/sh", "-c", script], cwd=tmp_path, env=os.environ, out=out)

    thread = threading.Thread(target=run)
    thread.start()
    _until(lambda: ready.exists() and bool(ready.read_text()))
    running.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not _runs(int(ready.read_text()))
