"""A person who runs a command gets a sentence and an exit status where it cannot go on; a mistake of ours is shown."""

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from common.errors import CommandError
from common.exit_status import as_exit_status

ROOT = Path(__file__).parents[2]
MAINS = {  # each with what it calls first that can fail, and what becomes of its work when it is interrupted
    "tools.bench": ("Workspace", "what was measured stands above"),
    "tools.bench.images": ("temporary_environment", "what was measured stands above"),
    "tools.sbom": ("deployed", "what was written stays"),
}


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """The commands own their process, and say what a signal does to it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(main: str, failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """The exit status of the command when what it calls first ends like this."""

    def fail(*_arguments: object, **_more: object) -> NoReturn:
        raise failure

    module = importlib.import_module(f"{main}.__main__")
    monkeypatch.setattr(module, MAINS[main][0], fail)
    monkeypatch.setattr(sys, "argv", [main])
    with pytest.raises(SystemExit) as ended:
        sys.exit(module.main())
    return ended.value.code


@pytest.mark.usefixtures("signals_as_before")
@pytest.mark.parametrize("main", MAINS)
def test_a_command_that_cannot_go_on_says_why_and_ends_with_status_1(
    main: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, CommandError("No room. Make some."), monkeypatch) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == ["", "No room. Make some."]


@pytest.mark.usefixtures("signals_as_before")
@pytest.mark.parametrize("main", MAINS)
def test_an_interrupted_command_says_what_it_leaves_and_ends_with_status_130(
    main: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.splitlines()[-2:] == ["", f"Interrupted; {MAINS[main][1]}."]


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), as_exit_status(interrupted="Interrupted."):
        raise ZeroDivisionError


def test_what_the_message_speaks_of_is_put_away_before_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    messages = []

    class Room:
        def __enter__(self) -> None: ...
        def __exit__(self, *_how: object) -> None:
            messages.append(capsys.readouterr().err)

    with pytest.raises(SystemExit), as_exit_status(interrupted="Interrupted."), Room():
        raise KeyboardInterrupt
    assert messages == [""]
    assert capsys.readouterr().err == "\nInterrupted.\n"


def test_a_reader_who_has_enough_ends_a_command_quietly() -> None:
    code = (
        "from common.exit_status import as_exit_status\n"
        "with as_exit_status(interrupted=''):\n"
        "    for line in range(100_000):\n"
        "        print('a line of a long answer', line)\n"
    )
    command = f'{sys.executable} -c "{code}" | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("a line of a long answer 0\n", "")
