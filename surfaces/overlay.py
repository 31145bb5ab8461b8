"""What a stack changes of the Kustomize base: Kustomize's own transformers where they fit, patches for the rest.

Computed by comparing two renderings of the same functions, so an overlay can neither miss a setting nor add one. A
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
from surfaces.base_settings import BARE_IMAGES, Layout, base_settings, with_layout
from surfaces.json_patch import diff
from surfaces.patches import Identity, Patch, group_patches, identity, patch_target
from surfaces.yaml_text import LiteralStr, dump_block

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
        """Return the text of kustomization.yaml."""
        return dump_block(
            {
                "apiVersion": KUSTOMIZE,
                "kind": "Kustomization",
                "namespace": self.settings.namespace,
                "labels": [{"pairs": stack_labels(self.settings), "includeTemplates": True}],
                "resources": [*resources, *added_files(self.added)],
                **({"components": list(components)} if components else {}),
                **({"patches": changed} if (changed := self._patches()) else {}),
                **({"images": images} if (images := kustomize_images(self.settings)) else {}),
            }
        )

    def _patches(self) -> list[Manifest]:
        targets = [*(manifest for manifest in self.base if manifest not in self.deleted), *self.added]
        return [
            *({"patch": delete_patch(manifest)} for manifest in self.deleted),
            *(
                {"target": patch_target(patch, targets), **_rename_options(patch), "patch": LiteralStr(patch)}
                for patch in self.patches
            ),
        ]


def overlay(settings: Settings, layout: Layout) -> Overlay:
    """Return what `settings` change of the base in `layout`."""
    base_stack = base_settings(layout)
    base = as_plain_data(render_stack(base_stack))
    transformed = [apply_transformers(manifest, base_stack, settings) for manifest in base]
    before = {identity(manifest): manifest for manifest in transformed}
    after = {identity(manifest): manifest for manifest in as_plain_data(render_stack(with_layout(settings, layout)))}
    renamed = _find_renames(before, after)
    pairs = {**{name: name for name in before if name in after}, **renamed}
    diffs = {_base_identity(old, base_stack, settings): diff(before[old], after[new]) for old, new in pairs.items()}
    return Overlay(
        settings,
        group_patches(diffs),
        tuple(manifest for manifest in base if _transformed_identity(manifest, base_stack, settings) not in pairs),
        tuple(manifest for name, manifest in after.items() if name not in pairs.values()),
        tuple(base),
    )


def render_stack(settings: Settings) -> list[Manifest]:
    """Return a stack's manifests without Secrets, with bare image names."""
    return manifests_for_files(plan(settings, PlanInputs(BARE_IMAGES)))


def as_plain_data(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return lists and dictionaries only, as they would be read from a file."""
    copy: list[Manifest] = json.loads(json.dumps(manifests, default=dict))
    return copy


def stack_labels(settings: Settings) -> dict[str, str]:
    """Return the labels that Kustomize sets on every object and pod template."""
    return {key: value for key, value in common_labels(settings).items() if key != "app.kubernetes.io/part-of"}


def kustomize_images(settings: Settings) -> list[Manifest]:
    """Return Kustomize's `images`: digests of the stack's file. What is built or promoted only the engine knows."""
    if not isinstance(settings.images, GivenImages):
        return []
    references = {"alphaswarm-worker": settings.images.worker, "alphaswarm-executor": settings.images.executor}
    split = {name: reference.split("@") for name, reference in references.items()}
    return [{"name": name, "newName": new, "digest": digest} for name, (new, digest) in split.items()]


def added_files(added: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the manifests that the base lacks, by file name."""
    return {f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml": manifest for manifest in added}


def delete_patch(manifest: Manifest) -> LiteralStr:
    """Return the strategic merge patch that deletes an object."""
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace") if key in manifest["metadata"]}
    patch = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "$patch": "delete"}
    return LiteralStr(dump_block(patch).rstrip("\n"))


# --- what Kustomize's transformers do ---


def apply_transformers(manifest: Manifest, base_stack: Settings, settings: Settings) -> Manifest:
    """Return a copy of a base object after the transformers `namespace` and `labels`."""
    result: Manifest = json.loads(json.dumps(manifest))
    metadata = result["metadata"]
    metadata["labels"] = {**metadata["labels"], **stack_labels(settings)}
    if "namespace" in metadata:
        metadata["namespace"] = settings.namespace
    metadata["name"] = _transformed_identity(manifest, base_stack, settings)[1]
    template = result.get("spec", {}).get("template")
    if template is not None:
        template["metadata"]["labels"] = {**template["metadata"]["labels"], **stack_labels(settings)}
    return result


def _transformed_identity(manifest: Manifest, base_stack: Settings, settings: Settings) -> Identity:
    kind, name = identity(manifest)
    return kind, settings.namespace if (kind, name) == ("Namespace", base_stack.namespace) else name


def _base_identity(name: Identity, base_stack: Settings, settings: Settings) -> Identity:
    return ("Namespace", base_stack.namespace) if name == ("Namespace", settings.namespace) else name


# --- objects whose name differs in a stack ---


def _find_renames(before: Mapping[Identity, Manifest], after: Mapping[Identity, Manifest]) -> dict[Identity, Identity]:
    """Match objects that differ only in their name: a PriorityClass' name includes the namespace."""
    renames: dict[Identity, Identity] = {}
    for old in sorted(before.keys() - after.keys()):
        for new in sorted(after.keys() - before.keys() - set(renames.values())):
            if old[0] == new[0] and _without_name(before[old]) == _without_name(after[new]):
                renames[old] = new
                break
    return renames


def _without_name(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "name": None}}


def _rename_options(patch: Patch) -> Manifest:
    paths = {operation["path"] for change in patch.changes for operation in change}
    return {"options": {"allowNameChange": True}} if "/metadata/name" in paths else {}
