import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.private_files import persistent_secret, write_private


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_a_private_file_is_readable_by_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    file = write_private(tmp_path / "secrets" / "password", "hush")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush")
    file.chmod(0o644)
    assert write_private(file, "hush").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    first = persistent_secret(tmp_path / "password")
    assert persistent_secret(tmp_path / "password") == first
    assert persistent_secret(tmp_path / "another") != first


def test_an_empty_secret_left_by_an_interruption_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("")
    assert persistent_secret(tmp_path / "password"), "a server without a password would be open to every user"
