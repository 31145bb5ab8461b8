"""A folder's hash changes with what a build could take from it, and with nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.support.folder_hash import folder_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    (made / "src" / "tasks").mkdir(parents=True)
    (made / "pyproject.toml").write_text("[project]\n")
    (made / "src" / "tasks" / "app.py").write_text("answer = 42\n")
    (made / "link.py").symlink_to("src/tasks/app.py")
    return made


def write(name: str, text: str = "x") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return change


def rename(folder: Path) -> None:
    (folder / "src/tasks/app.py").rename(folder / "src/tasks/application.py")


def make_a_program(folder: Path) -> None:
    (folder / "src/tasks/app.py").chmod(0o755)


def lead_elsewhere(folder: Path) -> None:
    (folder / "link.py").unlink()
    (folder / "link.py").symlink_to("pyproject.toml")


def link_a_folder(folder: Path) -> None:
    (folder / "other").symlink_to("src")


def touch(folder: Path) -> None:
    (folder / "src/tasks/app.py").touch()


@pytest.mark.parametrize(
    "change",
    [
        write("src/tasks/app.py", "answer = 43\n"),
        write("src/tasks/more.py"),
        write("data.bin"),
        write(".dockerignore"),
        (lambda folder: (folder / "pyproject.toml").unlink()),
        rename,
        make_a_program,
        lead_elsewhere,
        link_a_folder,
    ],
)
def test_it_changes_with_what_reaches_a_build(folder: Path, change: Callable[[Path], None]) -> None:
    before = folder_hash(folder)
    change(folder)
    assert folder_hash(folder) != before, "the change would not be built"


@pytest.mark.parametrize(
    "change",
    [
        touch,
        write(".git/HEAD"),
        write(".venv/lib/python3.13/site-packages/big.py"),
        write("src/.mypy_cache/x.json"),
        write("src/tasks/__pycache__/app.cpython-313.pyc"),
        write("src/tasks/app.pyc"),
        (lambda folder: (folder / "empty").mkdir()),
    ],
)
def test_it_stays_for_what_differs_between_a_laptop_and_ci(folder: Path, change: Callable[[Path], None]) -> None:
    before = folder_hash(folder)
    change(folder)
    assert folder_hash(folder) == before, "an unchanged source would be built again"


def test_it_is_the_same_wherever_the_folder_lies(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_hash(folder)
    monkeypatch.chdir(folder)
    assert folder_hash(Path()) == before
    assert folder_hash(Path("../app")) == before
    assert folder_hash(folder.rename(tmp_path / "elsewhere")) == before


def test_two_files_are_not_one_of_both_contents(tmp_path: Path) -> None:
    for name, files in (("one", {"a": "xb\0file\0001\0y"}), ("two", {"a": "x", "b": "y"})):
        for file, text in files.items():
            write(file, text)(tmp_path / name)
    assert folder_hash(tmp_path / "one") != folder_hash(tmp_path / "two")
