"""The settings of this checkout's stacks, loaded without the engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.errors import SettingsError
from config.loading import from_stack_file
from config.schema import BROKER_PASSWORD, Settings

# `make up` invents the password and puts it into a copy of the file: what is committed has none.
SET_ELSEWHERE: Final[Mapping[str, frozenset[str]]] = {"local": frozenset({BROKER_PASSWORD})}


def stacks(root: Path) -> dict[str, Settings]:
    """Return every stack's settings by its name.

    Raises:
        SettingsError: files are invalid; all of them are named.
    """
    found, refused = {}, []
    for file in sorted(root.glob("Pulumi.*.yaml")):
        name = file.name.split(".")[1]
        try:
            found[name] = from_stack_file(file, SET_ELSEWHERE.get(name, frozenset()))
        except SettingsError as error:
            refused.append(str(error))
    if refused:
        raise SettingsError("\n".join(refused))
    return found
