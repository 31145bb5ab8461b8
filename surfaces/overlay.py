"""What a stack changes of the Kustomize base: Kustomize's own transformers where they fit, patches for the rest.

Found by comparing two renderings of the same functions, so an overlay can neither forget a setting nor invent one. A
change that several objects share is one patch with a selector. Kustomize runs patches first, then `namespace`,
`labels` and `images`; the patches are therefore computed as if those three had already run, and touch none of their
fields.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.schema import GivenImages, Settings
from manifests import Manifest
from manifests.metadata import common_labels
from manifests.plan import PlanInputs, manifests_for_files, plan
from surfaces.json_patch import changes
from surfaces.neutral import BARE_IMAGES, Layout, in_layout, neutral_settings
from surfaces.patches import Identity, Patch, identity, patches, selection
from surfaces.yaml_text import Lines, block

KUSTOMIZE = "kustomize.config.k8s.io/v1beta1"


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
                **({"patches": changed} if (changed := self._patches()) else {}),
                **({"images": images} if (images := given_images(self.settings)) else {}),
            }
        )

    def _patches(self) -> list[Manifest]:
        every = [*(found for found in self.base if found not in self.deleted), *self.added]
        return [
            *({"patch": deletion(found)} for found in self.deleted),
            *({"target": selection(patch, every), **_rename(patch), "patch": Lines(patch)} for patch in self.patches),
        ]


def overlay(settings: Settings, layout: Layout) -> Overlay:
    """What `settings` change of the base in `layout`."""
    neutral = neutral_settings(layout)
    base = plain(objects(neutral))
    before = {_current(found, neutral, settings): transformed(found, neutral, settings) for found in base}
    after = {identity(found): found for found in plain(objects(in_layout(settings, layout)))}
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


def objects(settings: Settings) -> list[Manifest]:
    """The objects of a stack that may stand in a file, with bare image names."""
    return manifests_for_files(plan(settings, PlanInputs(BARE_IMAGES)))


def plain(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Lists and dictionaries only, as a file would give them back."""
    copy: list[Manifest] = json.loads(json.dumps(manifests, default=dict))
    return copy


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


# --- what a stack names otherwise ---


def _renamed(before: Mapping[Identity, Manifest], after: Mapping[Identity, Manifest]) -> dict[Identity, Identity]:
    """Objects that differ in nothing but their name: a PriorityClass has the namespace in its own."""
    found: dict[Identity, Identity] = {}
    for old in sorted(before.keys() - after.keys()):
        for new in sorted(after.keys() - before.keys() - set(found.values())):
            if old[0] == new[0] and _nameless(before[old]) == _nameless(after[new]):
                found[old] = new
                break
    return found


def _nameless(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "name": None}}


def _rename(patch: Patch) -> Manifest:
    paths = {operation["path"] for change in patch.changes for operation in change}
    return {"options": {"allowNameChange": True}} if "/metadata/name" in paths else {}
