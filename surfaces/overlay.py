"""What a stack changes of the Kustomize base: Kustomize's own transformers where they fit, patches for the rest.

Found by comparing two renderings of the same functions, so an overlay can neither forget a setting nor invent one. A
change that several objects share is one patch with a selector. Kustomize runs patches first, then `namespace`,
`labels` and `images`; the patches are therefore computed as if those three had already run, and touch none of their
fields.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manifests import Manifest
from manifests.fleet import everything
from manifests.metadata import COMPONENT, IMAGE, INSTANCE, QUEUE, common_labels
from settings import GivenImages, Settings
from surfaces.json_patch import Change, Changes, changes
from surfaces.neutral import BARE_IMAGES, Layout, in_layout, neutral_settings
from surfaces.yaml_text import Lines, block, items

SELECTABLE = (COMPONENT, IMAGE, INSTANCE, QUEUE)
KUSTOMIZE = "kustomize.config.k8s.io/v1beta1"

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


@dataclass(frozen=True)
class Overlay:
    """One stack in one layout."""

    settings: Settings
    patches: tuple[Patch, ...]
    deleted: tuple[Manifest, ...]
    added: tuple[Manifest, ...]
    base: tuple[Manifest, ...]

    def kustomization(self, resources: Sequence[str], components: Sequence[str]) -> str:
        """The kustomization's text."""
        return block(
            {
                "apiVersion": KUSTOMIZE,
                "kind": "Kustomization",
                "namespace": self.settings.namespace,
                "labels": [{"pairs": stack_labels(self.settings), "includeTemplates": True}],
                "resources": [*resources, *added_files(self.added)],
                **({"components": list(components)} if components else {}),
                **({"patches": patches} if (patches := self._patches()) else {}),
                **({"images": images} if (images := given_images(self.settings)) else {}),
            }
        )

    def _patches(self) -> list[Manifest]:
        objects = [*(found for found in self.base if found not in self.deleted), *self.added]
        return [
            *({"patch": deletion(found)} for found in self.deleted),
            *({"target": selection(patch, objects), **_rename(patch), "patch": Lines(patch)} for patch in self.patches),
        ]


def overlay(settings: Settings, layout: Layout) -> Overlay:
    """What `settings` change of the base in `layout`."""
    neutral = neutral_settings(layout)
    base = plain(everything(neutral, BARE_IMAGES))
    before = {_current(found, neutral, settings): transformed(found, neutral, settings) for found in base}
    after = {identity(found): found for found in plain(everything(in_layout(settings, layout), BARE_IMAGES))}
    renamed = _renamed(before, after)
    pairs = {**{name: name for name in before if name in after}, **renamed}
    found = {_original(old, neutral, settings): changes(before[old], after[new]) for old, new in pairs.items()}
    return Overlay(
        settings,
        patches(found),
        tuple(manifest for manifest in base if _current(manifest, neutral, settings) not in pairs),
        tuple(manifest for name, manifest in after.items() if name not in pairs.values()),
        tuple(base),
    )


def plain(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Lists and dictionaries only, as a file would give them back."""
    copy: list[Manifest] = json.loads(json.dumps(manifests, default=dict))
    return copy


def identity(manifest: Manifest) -> Identity:
    """What tells an object from all others of an overlay."""
    return manifest["kind"], manifest["metadata"]["name"]


def stack_labels(settings: Settings) -> dict[str, str]:
    """The labels that Kustomize sets on every object and pod template."""
    return {key: value for key, value in common_labels(settings).items() if key != "app.kubernetes.io/part-of"}


def given_images(settings: Settings) -> list[Manifest]:
    """The digests that the stack's file names; what is built or promoted is known to the engine alone."""
    if not isinstance(settings.images, GivenImages):
        return []
    references = {"alphaswarm-worker": settings.images.worker, "alphaswarm-executor": settings.images.executor}
    split = {name: reference.split("@") for name, reference in references.items()}
    return [{"name": name, "newName": new, "digest": digest} for name, (new, digest) in split.items()]


def added_files(added: Sequence[Manifest]) -> dict[str, Manifest]:
    """The objects that the base lacks, by file name."""
    return {f"{found['kind'].lower()}-{found['metadata']['name']}.yaml": found for found in added}


def deletion(manifest: Manifest) -> Lines:
    """The patch that takes an object away again."""
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace") if key in manifest["metadata"]}
    found = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "$patch": "delete"}
    return Lines(block(found).rstrip("\n"))


# --- what Kustomize's transformers do ---


def transformed(manifest: Manifest, neutral: Settings, settings: Settings) -> Manifest:
    """A base object after `namespace` and `labels`."""
    found: Manifest = json.loads(json.dumps(manifest))
    metadata = found["metadata"]
    metadata["labels"] = {**metadata["labels"], **stack_labels(settings)}
    if "namespace" in metadata:
        metadata["namespace"] = settings.namespace
    metadata["name"] = _current(manifest, neutral, settings)[1]
    template = found.get("spec", {}).get("template")
    if template is not None:
        template["metadata"]["labels"] = {**template["metadata"]["labels"], **stack_labels(settings)}
    return found


def _current(manifest: Manifest, neutral: Settings, settings: Settings) -> Identity:
    kind, name = identity(manifest)
    return kind, settings.namespace if (kind, name) == ("Namespace", neutral.namespace) else name


def _original(name: Identity, neutral: Settings, settings: Settings) -> Identity:
    return ("Namespace", neutral.namespace) if name == ("Namespace", settings.namespace) else name


# --- patches ---


def _renamed(before: Mapping[Identity, Manifest], after: Mapping[Identity, Manifest]) -> dict[Identity, Identity]:
    """Objects that differ in nothing but their name: a PriorityClass has the namespace in its own."""
    found = {}
    for old in before.keys() - after.keys():
        for new in after.keys() - before.keys():
            if old[0] == new[0] and _nameless(before[old]) == _nameless(after[new]):
                found[old] = new
    return dict(sorted(found.items()))


def _nameless(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "name": None}}


def _rename(patch: Patch) -> Manifest:
    paths = {operation["path"] for change in patch.changes for operation in change}
    return {"options": {"allowNameChange": True}} if "/metadata/name" in paths else {}


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
