"""The Kustomize tree: a base in the `per-image` layout, a component for `per-queue`, an overlay per stack and layout.

Rendered by the same functions whose objects the Pulumi program registers. The component deletes the per-image workers
before it adds the queues' own: KEDA refuses a ScaledObject on a Deployment that has an HPA.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from config.schema import Settings
from manifests import Manifest
from manifests.plan import PlanInputs, Unit, UnitKind, manifests_for_files, plan
from queues import WORKER
from surfaces.base_settings import BARE_IMAGES, LAYOUTS, Layout, base_settings
from surfaces.overlay import KUSTOMIZE, added_files, as_plain_data, delete_patch, kustomize_images, overlay
from surfaces.yaml_text import dump_block, dump_documents

HEADER: Final = "# Generated from queues.py by `make surfaces`; do not edit.\n"
GENERATED_FOLDERS: Final = ("base", "components", "overlays")
FILE_OF_KIND: Final = {
    "ServiceAccount": "service-accounts.yaml",
    "PriorityClass": "priority-classes.yaml",
    "NetworkPolicy": "network-policies.yaml",
    "HorizontalPodAutoscaler": "hpa.yaml",
    "PodDisruptionBudget": "pdb.yaml",
}
"""File names that do not follow from the kind."""
NAME_REFERENCES_FILE: Final = "name-references.yaml"
NAME_REFERENCES: Final = {
    "nameReference": [
        {
            "kind": "Deployment",
            "group": "apps",
            "fieldSpecs": [{"kind": "ScaledObject", "group": "keda.sh", "path": "spec/scaleTargetRef/name"}],
        },
        {
            "kind": "TriggerAuthentication",
            "group": "keda.sh",
            "fieldSpecs": [
                {"kind": "ScaledObject", "group": "keda.sh", "path": "spec/triggers/authenticationRef/name"}
            ],
        },
    ]
}
"""Where a ScaledObject names others, which Kustomize does not know: `namePrefix` and `nameSuffix` change these too."""


Files = dict[str, str]


def kustomize_tree(stacks: Mapping[str, Settings]) -> Files:
    """Return every file's text by its path below deploy/kustomize/."""
    files = {**_base(), **_per_queue_component()}
    for stack, settings in stacks.items():
        for layout in LAYOUTS:
            files |= _in_folder(f"overlays/{stack}/{layout}", _overlay(stack, settings, layout))
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
                folders.setdefault(WORKER.name, {}).update(
                    {f"beat-{name}": manifests for name, manifests in _by_kind(unit).items()}
                )
    files: Files = {"base/kustomization.yaml": HEADER + _kustomization(list(folders))}
    for folder, contents in folders.items():
        files |= _in_folder(
            f"base/{folder}",
            {name: dump_documents(HEADER, as_plain_data(manifests)) for name, manifests in contents.items()},
        )
        files[f"base/{folder}/kustomization.yaml"] = HEADER + _kustomization(list(contents))
    return files


def _units(layout: Layout) -> tuple[Unit, ...]:
    return plan(base_settings(layout), PlanInputs(BARE_IMAGES))


def _by_kind(unit: Unit) -> dict[str, list[Manifest]]:
    files: dict[str, list[Manifest]] = {}
    for manifest in manifests_for_files([unit]):
        files.setdefault(_file_name(manifest), []).append(manifest)
    return files


def _file_name(manifest: Manifest) -> str:
    """Return the file name of a manifest's kind: `ResourceQuota` is in resource-quota.yaml."""
    kind = manifest["kind"]
    return FILE_OF_KIND.get(kind) or re.sub("(?<=[a-z])(?=[A-Z])", "-", kind).lower() + ".yaml"


def _kustomization(resources: list[str]) -> str:
    return dump_block({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "resources": resources})


def _per_queue_component() -> Files:
    units = _units("per-queue")
    contents: dict[str, list[Manifest]] = {}
    for unit in units:
        contents |= _by_kind(unit) if unit.kind is UnitKind.BROKER else {}
    contents |= {
        f"{unit.name}.yaml": manifests_for_files([unit]) for unit in units if unit.kind is UnitKind.QUEUE_WORKER
    }
    replaced = as_plain_data(
        manifests_for_files(unit for unit in _units("per-image") if unit.kind is UnitKind.IMAGE_WORKER)
    )
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configurations": [NAME_REFERENCES_FILE],
        "resources": list(contents),
        "patches": [{"patch": delete_patch(manifest)} for manifest in replaced],
    }
    files = {name: dump_documents(HEADER, as_plain_data(manifests)) for name, manifests in contents.items()}
    files[NAME_REFERENCES_FILE] = HEADER + dump_block(NAME_REFERENCES)
    return _in_folder("components/per-queue", {"kustomization.yaml": HEADER + dump_block(component), **files})


def _overlay(stack: str, settings: Settings, layout: Layout) -> Files:
    result = overlay(settings, layout)
    header = f"# Generated from queues.py and Pulumi.{stack}.yaml by `make surfaces`; do not edit.\n"
    text = result.kustomization(["../../../base"], ["../../../components/per-queue"] if layout == "per-queue" else [])
    notes = "".join(f"# {line}\n" for line in _notes(stack, settings, layout))
    files = {name: dump_documents(header, [manifest]) for name, manifest in added_files(result.added).items()}
    return {"kustomization.yaml": header + notes + text, **files}


def _notes(stack: str, settings: Settings, layout: Layout) -> Iterator[str]:
    yield (
        f"This is the layout of stack {stack}."
        if layout == settings.layout
        else f"Stack {stack} itself has layout {settings.layout}: never apply both to one namespace."
    )
    if not kustomize_images(settings):
        yield "The images have bare names: set their digests as ../../../README.md says."


def _in_folder(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": text for name, text in files.items()}
