"""The difference between old and new inputs, property by property, as DiffResponse wants it.

A property path is written as the engine parses it: `spec.template.spec.containers[0].image`. A key with a dot or a
bracket is quoted: `metadata.labels["app.kubernetes.io/name"]`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from offline.providers.values import Json, Path


class DiffKind(Enum):
    """How a property changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class PropertyDiff:
    """One property that differs."""

    path: Path
    kind: DiffKind

    @property
    def property_path(self) -> str:
        """The path in the engine's notation."""
        return property_path(self.path)


@dataclass(frozen=True)
class Diff:
    """What an update would change; `replaces` are the changes that only a new object can take."""

    changes: tuple[PropertyDiff, ...] = ()
    replaces: tuple[PropertyDiff, ...] = ()
    delete_before_replace: bool = False


def property_path(path: Path) -> str:
    """Write a path in the engine's notation."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif any(sign in key for sign in '.["]'):
            text += f"[{json.dumps(key)}]"
        else:
            text += f".{key}" if text else key
    return text


def property_diffs(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[PropertyDiff, ...]:
    """Compare two objects. A missing key and a null are the same."""
    return tuple(_compare(old, new, ()))


def diff_of(
    changes: tuple[PropertyDiff, ...], replaces: Callable[[Path], bool], *, delete_before_replace: bool = False
) -> Diff:
    """Sort out the changes that need a new object.

    Args:
        changes: what differs.
        replaces: whether a change at this path needs a new object.
        delete_before_replace: whether the old object must go first; it counts only where something is replaced.
    """
    forced = tuple(change for change in changes if replaces(change.path))
    return Diff(changes, forced, delete_before_replace and bool(forced))


def _compare(old: Json, new: Json, path: Path) -> Iterator[PropertyDiff]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _compare(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            yield from _compare(old[i] if i < len(old) else None, new[i] if i < len(new) else None, (*path, i))
    elif not _equal(old, new):
        yield PropertyDiff(path, DiffKind.ADD if old is None else DiffKind.DELETE if new is None else DiffKind.UPDATE)


def _equal(old: Json, new: Json) -> bool:
    """Compare two leaves. To Python True equals 1, to a server it does not."""
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)
