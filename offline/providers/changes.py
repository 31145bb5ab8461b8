"""What differs between two sets of inputs, place by place, as the engine wants it told.

A place is written the way the engine reads it back: `spec.template.spec.containers[0].image`, and a key that holds
a dot or a bracket in quotes: `metadata.labels["app.kubernetes.io/name"]`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from offline.providers.values import Json, Path


class Kind(Enum):
    """How a place changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Change:
    """One place that differs."""

    path: Path
    kind: Kind

    @property
    def place(self) -> str:
        """The path in the engine's notation."""
        return place(self.path)


@dataclass(frozen=True)
class Verdict:
    """What an update would do: which places change, which of them only a new object can take."""

    changes: tuple[Change, ...] = ()
    replaces: tuple[Change, ...] = ()
    delete_first: bool = False


def place(path: Path) -> str:
    """A path in the engine's notation."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(sign in step for sign in '.["]'):
            text += f"[{json.dumps(step)}]"
        else:
            text += f".{step}" if text else step
    return text


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every place where `new` differs from `old`; a missing key and a null are the same."""
    return tuple(_walk(old, new, ()))


def verdict(found: tuple[Change, ...], replaces: Callable[[Path], bool], *, delete_first: bool = False) -> Verdict:
    """Sort `found` by what needs a new object; `delete_first` counts only if something does."""
    forced = tuple(change for change in found if replaces(change.path))
    return Verdict(found, forced, delete_first and bool(forced))


def _walk(old: Json, new: Json, path: Path) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _walk(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            yield from _walk(old[i] if i < len(old) else None, new[i] if i < len(new) else None, (*path, i))
    elif not _same(old, new):
        yield Change(path, Kind.ADD if old is None else Kind.DELETE if new is None else Kind.UPDATE)


def _same(old: Json, new: Json) -> bool:
    """Whether two leaves are equal; to Python, though not to a server, True is 1."""
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)
