"""The Kustomize tree: a base in the `per-image` layout, a component for `per-queue`, an overlay per stack and layout.

Written from the same functions whose objects the Pulumi program registers. The component takes the per-image workers
away before it adds the queues' own: KEDA refuses a ScaledObject on a Deployment that has an HPA.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from config.schema import Settings
from manifests import Manifest
from manifests.plan import PlanInputs, Unit, UnitKind, manifests_for_files, plan
from queues import WORKER
from surfaces.neutral import BARE_IMAGES, LAYOUTS, Layout, neutral_settings
from surfaces.overlay import KUSTOMIZE, added_files, deletion, given_images, overlay, plain
from surfaces.yaml_text import block, documents

HEADER: Final = "# Generated from queues.py by `make surfaces`; do not edit.\n"
OWNED_FOLDERS: Final = ("base", "components", "overlays")
FILE_OF_KIND: Final = {
    "ServiceAccount": "service-accounts.yaml",
    "PriorityClass": "priority-classes.yaml",
    "NetworkPolicy": "network-policies.yaml",
    "HorizontalPodAutoscaler": "hpa.yaml",
    "PodDisruptionBudget": "pdb.yaml",
}
"""Files whose names are not just their kind's."""


Files = dict[str, str]


def tree(stacks: Mapping[str, Settings]) -> Files:
    """Every file below deploy/kustomize/, by path."""
    files = {**_base(), **_per_queue_component()}
    for stack, settings in stacks.items():
        for layout in LAYOUTS:
            files |= _in(f"overlays/{stack}/{layout}", _overlay(stack, settings, layout))
    return files


def _base() -> Files:
    folders: dict[str, dict[str, list[Manifest]]] = {}
    for unit in _units("per-image"):
        match unit.kind:
            case UnitKind.FOUNDATION:
                folders["shared"] = _by_kind(unit)
            case UnitKind.IMAGE_WORKER:
                folders.setdefault(unit.name, {}).update(_by_kind(unit))
            case UnitKind.BEAT:
                folders.setdefault(WORKER.name, {})["beat-deployment.yaml"] = manifests_for_files([unit])
    files: Files = {"base/kustomization.yaml": HEADER + _kustomization(list(folders))}
    for folder, contents in folders.items():
        files |= _in(f"base/{folder}", {name: documents(HEADER, plain(found)) for name, found in contents.items()})
        files[f"base/{folder}/kustomization.yaml"] = HEADER + _kustomization(list(contents))
    return files


def _units(layout: Layout) -> tuple[Unit, ...]:
    return plan(neutral_settings(layout), PlanInputs(BARE_IMAGES))


def _by_kind(unit: Unit) -> dict[str, list[Manifest]]:
    files: dict[str, list[Manifest]] = {}
    for manifest in manifests_for_files([unit]):
        files.setdefault(_file_name(manifest), []).append(manifest)
    return files


def _file_name(manifest: Manifest) -> str:
    """The file of a manifest's kind: `ResourceQuota` stands in resource-quota.yaml."""
    kind = manifest["kind"]
    return FILE_OF_KIND.get(kind) or re.sub("(?<=[a-z])(?=[A-Z])", "-", kind).lower() + ".yaml"


def _kustomization(resources: list[str]) -> str:
    return block({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "resources": resources})


def _per_queue_component() -> Files:
    units = _units("per-queue")
    contents: dict[str, list[Manifest]] = {}
    for unit in units:
        contents |= _by_kind(unit) if unit.kind is UnitKind.BROKER else {}
    contents |= {
        f"{unit.name}.yaml": manifests_for_files([unit]) for unit in units if unit.kind is UnitKind.QUEUE_WORKER
    }
    replaced = plain(manifests_for_files(unit for unit in _units("per-image") if unit.kind is UnitKind.IMAGE_WORKER))
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": list(contents),
        "patches": [{"patch": deletion(found)} for found in replaced],
    }
    files = {name: documents(HEADER, plain(found)) for name, found in contents.items()}
    return _in("components/per-queue", {"kustomization.yaml": HEADER + block(component), **files})


def _overlay(stack: str, settings: Settings, layout: Layout) -> Files:
    result = overlay(settings, layout)
    header = f"# Generated from queues.py and Pulumi.{stack}.yaml by `make surfaces`; do not edit.\n"
    text = result.kustomization(["../../../base"], ["../../../components/per-queue"] if layout == "per-queue" else [])
    notes = "".join(f"# {line}\n" for line in _notes(stack, settings, layout))
    files = {name: documents(header, [found]) for name, found in added_files(result.added).items()}
    return {"kustomization.yaml": header + notes + text, **files}


def _notes(stack: str, settings: Settings, layout: Layout) -> Iterator[str]:
    yield (
        f"This is the layout of stack {stack}."
        if layout == settings.layout
        else f"Stack {stack} itself has layout {settings.layout}: never apply both to one namespace."
    )
    if not given_images(settings):
        yield "The images have bare names: set their digests as ../../../README.md says."


def _in(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": text for name, text in files.items()}
