"""The traceback that a program's user sees."""

from pathlib import Path

from pulumi.runtime.proto import language_pb2

from offline.language_host.program import entry_point, format_traceback


def failing(folder: Path) -> ValueError:
    main = folder / "__main__.py"
    code = compile("def f():\n    raise ValueError('bad')\nf()\n", str(main), "exec")
    try:
        exec(code, {})  # noqa: S102 (a program of the test's own)
    except ValueError as error:
        return error
    raise AssertionError


def test_a_traceback_begins_in_the_program_and_names_its_files_relatively(tmp_path: Path) -> None:
    text = format_traceback(failing(tmp_path), tmp_path)
    assert text.splitlines()[1].strip() == 'File "__main__.py", line 3, in <module>'
    assert "test_program.py" not in text
    assert str(tmp_path) not in text
    assert text.endswith("ValueError: bad")


def test_an_error_outside_of_the_program_keeps_its_whole_traceback(tmp_path: Path) -> None:
    assert "test_program.py" in format_traceback(failing(tmp_path), tmp_path / "elsewhere")


def test_a_folder_stands_for_its_main_file(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path), entry_point=".")
    assert entry_point(info) == tmp_path / "__main__.py"
    info.entry_point = "app"
    assert entry_point(info) == tmp_path / "app" / "__main__.py"
    info.entry_point = "other.py"
    assert entry_point(info) == tmp_path / "other.py"
