"""Patches that a person can review: objects that share a change share its patch, and a label says which they are.

The trap: a change that alters a list's length moves the indices of all later ones. Those keep their order in every
object, however they are shared; the others come first, where every index is still the base's.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manifests import Manifest
from manifests.metadata import COMPONENT, IMAGE, INSTANCE, QUEUE
from surfaces.json_patch import Change, Changes
from surfaces.yaml_text import items

SELECTABLE = (COMPONENT, IMAGE, INSTANCE, QUEUE)

Identity = tuple[str, str]  # kind and name: an overlay has one namespace, and no kind in two API groups


@dataclass(frozen=True)
class Patch:
    """Changes that the same objects share, in the order in which they are applied."""

    kind: str
    names: tuple[str, ...]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        tests = [None, *(change[0] for change in self.changes)]
        return items(
            operation
            for change, last in zip(self.changes, tests, strict=False)
            for operation in change
            if operation["op"] != "test" or operation != last  # tested a line before
        )


def identity(manifest: Manifest) -> Identity:
    """What tells an object from all others of an overlay."""
    return manifest["kind"], manifest["metadata"]["name"]


def patches(found: Mapping[Identity, Changes]) -> tuple[Patch, ...]:
    """As few patches as possible: objects that share a change share its patch."""
    in_place = _shared({name: each.in_place for name, each in found.items()})
    lengths = _in_order({name: each.lengths for name, each in found.items()})
    return tuple(_joined(sorted(in_place, key=lambda patch: -len(patch.names)), lengths))


def _shared(found: Mapping[Identity, tuple[Change, ...]]) -> list[Patch]:
    """Changes that may be applied in any order, by who shares them."""
    owners: dict[tuple[str, str], list[str]] = {}
    for (kind, name), each in found.items():
        for change in each:
            owners.setdefault((kind, json.dumps(change)), []).append(name)
    groups: dict[tuple[str, tuple[str, ...]], list[Change]] = {}
    for (kind, text), names in owners.items():
        groups.setdefault((kind, tuple(names)), []).append(tuple(json.loads(text)))
    return [Patch(kind, names, tuple(each)) for (kind, names), each in groups.items()]


def _in_order(found: Mapping[Identity, tuple[Change, ...]]) -> list[Patch]:
    """Changes that have an order: each step takes what no object has only further down its own list."""
    left = {name: [json.dumps(change) for change in each] for name, each in found.items() if each}
    steps: list[Patch] = []
    while left:
        later = {(kind, text) for (kind, _), each in left.items() for text in each[1:]}
        heads = Counter((kind, each[0]) for (kind, _), each in left.items())
        step = max(heads, key=lambda head: (head not in later, heads[head]))
        owners = [name for name, each in left.items() if (name[0], each[0]) == step]
        steps.append(Patch(step[0], tuple(name for _, name in owners), (tuple(json.loads(step[1])),)))
        left = {name: each[1:] if name in owners else each for name, each in left.items()}
        left = {name: each for name, each in left.items() if each}
    return steps


def _joined(first: Sequence[Patch], then: Sequence[Patch]) -> list[Patch]:
    """One patch instead of two with the same target, where no patch between them touches that target."""
    result = list(first)
    for patch in then:
        meeting = [at for at, other in enumerate(result) if _meet(patch, other)]
        if meeting and set(result[meeting[-1]].names) == set(patch.names):
            result[meeting[-1]] = replace(patch, changes=result[meeting[-1]].changes + patch.changes)
        else:
            result.append(patch)
    return result


def _meet(one: Patch, other: Patch) -> bool:
    return one.kind == other.kind and not set(one.names).isdisjoint(other.names)


def selection(patch: Patch, objects: Sequence[Manifest]) -> Manifest:
    """How Kustomize finds exactly a patch's objects: their kind, a label they alone have, or else their names."""
    same_kind = [found for found in objects if found["kind"] == patch.kind]
    if len(patch.names) == 1:
        return {"kind": patch.kind, "name": patch.names[0]}
    if _names(same_kind) == set(patch.names):
        return {"kind": patch.kind}
    for key in SELECTABLE:
        values = {_label(found, key) for found in same_kind if found["metadata"]["name"] in patch.names}
        chosen = [found for found in same_kind if _label(found, key) in values]
        if len(values) <= 2 and None not in values and _names(chosen) == set(patch.names):
            wanted = ", ".join(sorted(str(value) for value in values))
            return {
                "kind": patch.kind,
                "labelSelector": f"{key} in ({wanted})" if len(values) > 1 else f"{key}={wanted}",
            }
    return {"kind": patch.kind, "name": "|".join(patch.names)}


def _names(objects: Sequence[Manifest]) -> set[str]:
    return {found["metadata"]["name"] for found in objects}


def _label(manifest: Manifest, key: str) -> Any:  # noqa: ANN401 text or None
    return manifest["metadata"]["labels"].get(key)
