"""The stacks of this checkout, read without the engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.loading import from_stack_file
from config.schema import BROKER_PASSWORD, Settings

# `make up` invents the password and puts it into a copy of the file: what is committed has none.
SET_ELSEWHERE: Final[Mapping[str, frozenset[str]]] = {"local": frozenset({BROKER_PASSWORD})}


def stacks(root: Path) -> dict[str, Settings]:
    """Every stack's settings by its name. Raises SettingsError when a file cannot be used."""
    files = {file.name.split(".")[1]: file for file in sorted(root.glob("Pulumi.*.yaml"))}
    return {name: from_stack_file(file, SET_ELSEWHERE.get(name, frozenset())) for name, file in files.items()}
