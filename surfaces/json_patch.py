"""The smallest JSON patch (RFC 6902) between two objects that a reader can still follow.

A list's items are told apart by their `name` where they have one. Each change inside such an item is preceded by a
`test` of that name: it says which variable an index means, and Kustomize stops instead of patching another one.

The trap: an index is only good until a list changes its length. So the changes that keep every length come apart from
those that do not, and are to be applied first.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

Operation = dict[str, Any]
Change = tuple[Operation, ...]  # what belongs together: a test, if any, and what follows from it


@dataclass(frozen=True)
class Changes:
    """What leads from one object to another: first `in_place` in any order, then `lengths` in this order."""

    in_place: tuple[Change, ...]
    lengths: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.in_place or self.lengths)


def changes(before: Any, after: Any) -> Changes:  # noqa: ANN401 any plain data
    """How to make `after` of `before`."""
    found = list(_between(before, after, (), ()))
    return Changes(
        tuple(change for keeps, change in found if keeps), tuple(change for keeps, change in found if not keeps)
    )


Path = tuple[str | int, ...]
Found = Iterator[tuple[bool, Change]]  # whether every list keeps its length, and the change


def _between(before: Any, after: Any, path: Path, test: Change) -> Found:  # noqa: ANN401 any plain data
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _between_mappings(before, after, path, test)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _between_lists(before, after, path, test)
    elif type(before) is not type(after) or before != after:
        yield True, (*test, {"op": "replace", "path": pointer(path), "value": after})


def _between_mappings(before: dict[str, Any], after: dict[str, Any], path: Path, test: Change) -> Found:
    for key, value in before.items():
        if key in after:
            yield from _between(value, after[key], (*path, key), test)
        else:
            yield True, (*test, {"op": "remove", "path": pointer((*path, key))})
    for key, value in after.items():
        if key not in before:
            yield True, (*test, {"op": "add", "path": pointer((*path, key)), "value": value})


def _between_lists(before: list[Any], after: list[Any], path: Path, test: Change) -> Found:
    pairs = _pairs(before, after)
    for old, new in pairs:
        yield from _between(before[old], after[new], (*path, old), _test(before, path, old) or test)
    kept_old, kept_new = {old for old, _ in pairs}, {new for _, new in pairs}
    for old in reversed(range(len(before))):
        if old not in kept_old:
            yield False, (*_test(before, path, old), {"op": "remove", "path": pointer((*path, old))})
    for new in range(len(after)):
        if new not in kept_new:
            yield False, ({"op": "add", "path": pointer((*path, new)), "value": after[new]},)


def _pairs(before: list[Any], after: list[Any]) -> list[tuple[int, int]]:
    """Which item becomes which, both rising; an item without a name, or without company, may become any other."""
    if len(before) == len(after) == 1:
        return [(0, 0)]
    matcher = SequenceMatcher(None, [_identity(item) for item in before], [_identity(item) for item in after], False)
    found: list[tuple[int, int]] = []
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag == "equal" or not any(map(_named, before[old:old_end] + after[new:new_end])):
            found += zip(range(old, old_end), range(new, new_end), strict=False)
    return found


def _named(item: Any) -> bool:  # noqa: ANN401 any plain data
    return isinstance(item, dict) and "name" in item


def _identity(item: Any) -> str:  # noqa: ANN401 any plain data
    return json.dumps(item["name"] if _named(item) else item, sort_keys=True)


def _test(items: Sequence[Any], path: Path, index: int) -> Change:
    """Nothing to test where there is only one item to mean."""
    if len(items) < 2 or not _named(items[index]):
        return ()
    return ({"op": "test", "path": pointer((*path, index, "name")), "value": items[index]["name"]},)


def pointer(path: Path) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
