"""The bench compares like with like; no test asserts what it measures."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.errors import CommandError
from common.progress import Progress
from queues import QUEUES
from tools.bench.measure import Command, interleaved
from tools.bench.plot import Bar, svg
from tools.bench.workspace import Workspace


def test_a_larger_catalogue_registers_the_same_again_for_each_queue(tmp_path: Path) -> None:
    workspace, few = Workspace(tmp_path, Progress()), len(QUEUES.queues)
    as_it_is, larger = (
        json.loads(workspace.mocked(workspace.fleet(count)).measure().output.splitlines()[-1])["registered"]
        for count in (few, few + 4)
    )
    assert larger > as_it_is, "more queues register nothing, so growth is measured on the same catalogue"
    assert (larger - as_it_is) % 4 == 0


def test_a_command_that_fails_is_an_error_with_the_end_of_its_output(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="status 3:\nno luck"):
        Command(("/bin/sh", "-c", "echo no luck; exit 3"), tmp_path, {}).measure()


def test_commands_take_turns_after_a_first_run_of_each_that_is_left_out() -> None:
    ran: list[str] = []

    def command(name: str) -> Callable[[], int]:
        def measure() -> int:
            ran.append(name)
            return len(ran)

        return measure

    assert interleaved({"a": command("a"), "b": command("b")}, 2) == {"a": [3, 5], "b": [4, 6]}
    assert ran == ["a", "b"] * 3


def test_the_picture_is_well_formed_xml_whatever_the_labels_say() -> None:
    drawn = ElementTree.fromstring(svg("a < b & c", [Bar("x > y", 1.5, 1.2), Bar("z", 0.5)]))  # noqa: S314 our own text
    assert "x > y" in "".join(drawn.itertext())
