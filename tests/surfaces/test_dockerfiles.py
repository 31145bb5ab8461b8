"""Of a Dockerfile the catalogue's lines are written, and no other line is touched."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from surfaces.__main__ import main
from surfaces.dockerfiles import FIRST, LAST, dockerfiles

ROOT_FILE = "images/Dockerfile"
ALONE = "images/alphaswarm_worker/Dockerfile"
lines = st.lists(st.text("ARG OM#=\"'\\$\té", max_size=12), max_size=6).map("\n".join)


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A copy of the Dockerfiles, and of nothing else."""
    for path in dockerfiles(root):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, tmp_path / path)
    return tmp_path


@given(lines, lines, lines, st.sampled_from(["", "\n", "\n\n"]))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_line_written_by_hand_stays_as_it_is(
    checkout: Path, before: str, between: str, after: str, last: str
) -> None:
    (checkout / ROOT_FILE).write_text(f"{before}\n{FIRST}\n{between}\n{LAST}\n{after}{last}")
    text = dockerfiles(checkout)[ROOT_FILE]
    assert text.startswith(f"{before}\n{FIRST}\nARG ")
    assert text.endswith(f"\n{LAST}\n{after}{last}")
    written = text.partition(f"{FIRST}\n")[2].partition(LAST)[0]
    assert all(line.startswith("ARG ") for line in written.splitlines()), "an old line is left among the new ones"


def test_a_value_changed_by_hand_is_written_anew(checkout: Path) -> None:
    text = (checkout / ALONE).read_text()
    changed = text.replace('ARG WORKER_CONCURRENCY="', 'ARG WORKER_CONCURRENCY="40')
    assert changed != text
    (checkout / ALONE).write_text(changed)
    assert dockerfiles(checkout)[ALONE] == text


def test_a_file_of_one_image_is_told_nothing_of_the_other(root: Path) -> None:
    found = dockerfiles(root)
    assert "EXECUTOR" in found[ROOT_FILE]
    assert "EXECUTOR" not in found[ALONE]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(FIRST, ""), f"{ROOT_FILE} needs the line `{FIRST}` once"),
        (lambda text: text.replace(LAST, "# the end"), f"{ROOT_FILE} needs the line `{LAST}` once"),
        (lambda text: text.replace(LAST, f"{LAST}\n{LAST}"), "it is there 2 times, in lines"),
        (lambda text: f"{FIRST}\n{text}", "it is there 2 times, in lines 1,"),
        (lambda text: f"{LAST}\n{text.replace(LAST, '')}", f"{ROOT_FILE}: line 1, `{LAST}`, must come after"),
        (
            lambda text: text.replace(FIRST, f"FROM scratch\n{FIRST}"),
            f"{ROOT_FILE}: the line `{FIRST}` must come before",
        ),
    ],
    ids=["no first", "no last", "last twice", "first twice", "the wrong way round", "inside a stage"],
)
@pytest.mark.parametrize("arguments", [["--check"], []], ids=["check", "write"])
def test_a_dockerfile_without_one_place_for_them_is_named_in_one_line(
    checkout: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], change: Callable[[str], str], said: str
) -> None:
    file = checkout / ROOT_FILE
    file.write_text(change(file.read_text()))
    before = file.read_text()
    assert main(arguments, checkout) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
    assert file.read_text() == before


def test_a_missing_dockerfile_is_named_in_one_line(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / ALONE).unlink()
    assert main([], checkout) == 1
    assert capsys.readouterr().err.startswith(f"{ALONE} is missing")
    assert not (checkout / ALONE).exists()
