"""The smallest JSON patch (RFC 6902) between two objects that a reader can still follow.

A list's items are identified by their `name` where they have one. Each change inside such an item is preceded by a
`test` of that name: it says which variable an index means, and Kustomize stops instead of patching another one.

The trap: an index is only valid until a list changes its length. So the changes that keep every length are separate
from those that do not, and must be applied first.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

Operation = dict[str, Any]
Change = tuple[Operation, ...]  # operations that belong together: a test, if any, and what depends on it


@dataclass(frozen=True)
class Diff:
    """The changes from one object to another: first `in_place` in any order, then `resizing` in this order."""

    in_place: tuple[Change, ...]
    resizing: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.in_place or self.resizing)


def diff(before: Any, after: Any) -> Diff:  # noqa: ANN401 any plain data
    """Return the changes that turn `before` into `after`."""
    found = list(_diff(before, after, (), ()))
    return Diff(
        tuple(change for keeps, change in found if keeps), tuple(change for keeps, change in found if not keeps)
    )


Path = tuple[str | int, ...]
ChangeIterator = Iterator[tuple[bool, Change]]  # whether every list keeps its length, and the change


def _diff(before: Any, after: Any, path: Path, test: Change) -> ChangeIterator:  # noqa: ANN401 any plain data
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _diff_mappings(before, after, path, test)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _diff_lists(before, after, path, test)
    elif type(before) is not type(after) or before != after:
        yield True, (*test, {"op": "replace", "path": json_pointer(path), "value": after})


def _diff_mappings(before: dict[str, Any], after: dict[str, Any], path: Path, test: Change) -> ChangeIterator:
    for key, value in before.items():
        if key in after:
            yield from _diff(value, after[key], (*path, key), test)
        else:
            yield True, (*test, {"op": "remove", "path": json_pointer((*path, key))})
    for key, value in after.items():
        if key not in before:
            yield True, (*test, {"op": "add", "path": json_pointer((*path, key)), "value": value})


def _diff_lists(before: list[Any], after: list[Any], path: Path, test: Change) -> ChangeIterator:
    pairs = _match_items(before, after)
    for old, new in pairs:
        yield from _diff(before[old], after[new], (*path, old), _test_operation(before, path, old) or test)
    kept_old, kept_new = {old for old, _ in pairs}, {new for _, new in pairs}
    for old in reversed(range(len(before))):
        if old not in kept_old:
            yield False, (*_test_operation(before, path, old), {"op": "remove", "path": json_pointer((*path, old))})
    for new in range(len(after)):
        if new not in kept_new:
            yield False, ({"op": "add", "path": json_pointer((*path, new)), "value": after[new]},)


def _match_items(before: list[Any], after: list[Any]) -> list[tuple[int, int]]:
    """Return pairs of old and new indices, both ascending; an item without a name, or the only one, matches any."""
    if len(before) == len(after) == 1:
        return [(0, 0)]
    matcher = SequenceMatcher(None, [_item_key(item) for item in before], [_item_key(item) for item in after], False)
    pairs: list[tuple[int, int]] = []
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag == "equal" or not any(map(_has_name, before[old:old_end] + after[new:new_end])):
            pairs += zip(range(old, old_end), range(new, new_end), strict=False)
    return pairs


def _has_name(item: Any) -> bool:  # noqa: ANN401 any plain data
    return isinstance(item, dict) and "name" in item


def _item_key(item: Any) -> str:  # noqa: ANN401 any plain data
    return json.dumps(item["name"] if _has_name(item) else item, sort_keys=True)


def _test_operation(items: Sequence[Any], path: Path, index: int) -> Change:
    """Return a test of the item's name; none where the list has one item."""
    if len(items) < 2 or not _has_name(items[index]):
        return ()
    return ({"op": "test", "path": json_pointer((*path, index, "name")), "value": items[index]["name"]},)


def json_pointer(path: Path) -> str:
    """Return a path as RFC 6901 writes it."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
