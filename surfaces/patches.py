"""Patches that a person can review: objects that share a change share its patch, and a label selects them.

The trap: a change of a list's length moves the indices of all later changes. Such changes keep their order in every
object, however they are shared; the others come first, while every index is still the base's.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manifests import Manifest
from manifests.metadata import COMPONENT, IMAGE, INSTANCE, QUEUE
from surfaces.json_patch import Change, Diff
from surfaces.yaml_text import dump_items

SELECTOR_LABELS = (COMPONENT, IMAGE, INSTANCE, QUEUE)

Identity = tuple[str, str]  # kind and name: an overlay has one namespace, and no kind in two API groups


@dataclass(frozen=True)
class Patch:
    """Changes that the same objects share, in the order in which they are applied."""

    kind: str
    names: tuple[str, ...]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        tests = [None, *(change[0] for change in self.changes)]
        return dump_items(
            operation
            for change, last in zip(self.changes, tests, strict=False)
            for operation in change
            if operation["op"] != "test" or operation != last  # tested a line before
        )


def identity(manifest: Manifest) -> Identity:
    """Return what identifies an object in an overlay."""
    return manifest["kind"], manifest["metadata"]["name"]


def group_patches(diffs: Mapping[Identity, Diff]) -> tuple[Patch, ...]:
    """Return as few patches as possible: objects that share a change share its patch."""
    in_place = _group_unordered({name: diff.in_place for name, diff in diffs.items()})
    resizing = _group_ordered({name: diff.resizing for name, diff in diffs.items()})
    return tuple(_merge(sorted(in_place, key=lambda patch: -len(patch.names)), resizing))


def _group_unordered(changes_of: Mapping[Identity, tuple[Change, ...]]) -> list[Patch]:
    """Group changes that may be applied in any order by the objects that share them."""
    owners: dict[tuple[str, str], list[str]] = {}
    for (kind, name), changes in changes_of.items():
        for change in changes:
            owners.setdefault((kind, json.dumps(change)), []).append(name)
    groups: dict[tuple[str, tuple[str, ...]], list[Change]] = {}
    for (kind, text), names in owners.items():
        groups.setdefault((kind, tuple(names)), []).append(tuple(json.loads(text)))
    return [Patch(kind, names, tuple(changes)) for (kind, names), changes in groups.items()]


def _group_ordered(changes_of: Mapping[Identity, tuple[Change, ...]]) -> list[Patch]:
    """Group changes that have an order: each step prefers a change that no object has later in its own list."""
    remaining = {name: [json.dumps(change) for change in changes] for name, changes in changes_of.items() if changes}
    steps: list[Patch] = []
    while remaining:
        later = {(kind, text) for (kind, _), texts in remaining.items() for text in texts[1:]}
        heads = Counter((kind, texts[0]) for (kind, _), texts in remaining.items())
        step = max(heads, key=lambda head: (head not in later, heads[head]))
        owners = [name for name, texts in remaining.items() if (name[0], texts[0]) == step]
        steps.append(Patch(step[0], tuple(name for _, name in owners), (tuple(json.loads(step[1])),)))
        remaining = {name: texts[1:] if name in owners else texts for name, texts in remaining.items()}
        remaining = {name: texts for name, texts in remaining.items() if texts}
    return steps


def _merge(first: Sequence[Patch], then: Sequence[Patch]) -> list[Patch]:
    """Merge two patches with the same target, where no patch between them touches that target."""
    result = list(first)
    for patch in then:
        overlapping = [index for index, other in enumerate(result) if _overlap(patch, other)]
        if overlapping and set(result[overlapping[-1]].names) == set(patch.names):
            result[overlapping[-1]] = replace(patch, changes=result[overlapping[-1]].changes + patch.changes)
        else:
            result.append(patch)
    return result


def _overlap(one: Patch, other: Patch) -> bool:
    return one.kind == other.kind and not set(one.names).isdisjoint(other.names)


def patch_target(patch: Patch, objects: Sequence[Manifest]) -> Manifest:
    """Return the target that selects exactly a patch's objects: by kind, a label of theirs alone, or their names."""
    same_kind = [manifest for manifest in objects if manifest["kind"] == patch.kind]
    if len(patch.names) == 1:
        return {"kind": patch.kind, "name": patch.names[0]}
    if _names(same_kind) == set(patch.names):
        return {"kind": patch.kind}
    for key in SELECTOR_LABELS:
        values = {_label(manifest, key) for manifest in same_kind if manifest["metadata"]["name"] in patch.names}
        selected = [manifest for manifest in same_kind if _label(manifest, key) in values]
        if len(values) <= 2 and None not in values and _names(selected) == set(patch.names):
            listed = ", ".join(sorted(str(value) for value in values))
            return {
                "kind": patch.kind,
                "labelSelector": f"{key} in ({listed})" if len(values) > 1 else f"{key}={listed}",
            }
    return {"kind": patch.kind, "name": "|".join(patch.names)}


def _names(objects: Sequence[Manifest]) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in objects}


def _label(manifest: Manifest, key: str) -> Any:  # noqa: ANN401 text or None
    return manifest["metadata"]["labels"].get(key)
