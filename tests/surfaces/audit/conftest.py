"""Repositories of a few files, planted into a folder and audited."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from surfaces.audit.command import audit
from surfaces.audit.report import Report

Audit = Callable[[Mapping[str, str]], Report]


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Writes files by path, without the indentation that their texts have in a test."""

    def write(files: Mapping[str, str]) -> Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text).lstrip("\n"))
        return tmp_path

    return write


@pytest.fixture
def audited(plant: Callable[[Mapping[str, str]], Path]) -> Audit:
    """What the audit says of planted files."""
    return lambda files: audit(plant(files))
