"""The Kustomize tree: a base in the `per-image` layout, a component for `per-queue`, an overlay per stack and layout.

Written from the same functions whose objects the Pulumi program registers. The component takes the per-image workers
away before it adds the queues' own: KEDA refuses a ScaledObject on a Deployment that has an HPA.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests import Manifest
from manifests.broker import trigger_authentication
from manifests.deployment import beat_deployment
from manifests.fleet import foundation, image_objects, queue_objects
from queues import IMAGES, WORKER
from surfaces.neutral import BARE_IMAGES, LAYOUTS, Layout, neutral_settings
from surfaces.overlay import KUSTOMIZE, added_files, deletion, given_images, overlay, plain
from surfaces.yaml_text import block, documents

HEADER: Final = "# Generated from queues.py by `make surfaces`; do not edit.\n"
OWNED_FOLDERS: Final = ("base", "components", "overlays")
FILE_OF_KIND: Final = {
    "Namespace": "namespace.yaml",
    "ServiceAccount": "service-accounts.yaml",
    "PriorityClass": "priority-classes.yaml",
    "NetworkPolicy": "network-policies.yaml",
    "ResourceQuota": "resource-quota.yaml",
    "Deployment": "deployment.yaml",
    "HorizontalPodAutoscaler": "hpa.yaml",
    "PodDisruptionBudget": "pdb.yaml",
}

Files = dict[str, str]


def tree(stacks: Mapping[str, Settings]) -> Files:
    """Every file below deploy/kustomize/, by path."""
    files = {**_base(), **_per_queue_component()}
    for stack, settings in stacks.items():
        for layout in LAYOUTS:
            files |= _in(f"overlays/{stack}/{layout}", _overlay(stack, settings, layout))
    return files


def _base() -> Files:
    settings = neutral_settings("per-image")
    folders = {"shared": _by_kind(foundation(settings))}
    for image in IMAGES:
        folders[image.name] = _by_kind(image_objects(settings, image, BARE_IMAGES))
    folders[WORKER.name]["beat-deployment.yaml"] = [beat_deployment(settings, BARE_IMAGES)]
    files: Files = {"base/kustomization.yaml": HEADER + _kustomization(list(folders))}
    for folder, contents in folders.items():
        files |= _in(f"base/{folder}", {name: documents(HEADER, plain(found)) for name, found in contents.items()})
        files[f"base/{folder}/kustomization.yaml"] = HEADER + _kustomization(list(contents))
    return files


def _by_kind(manifests: list[Manifest]) -> dict[str, list[Manifest]]:
    files: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        files.setdefault(FILE_OF_KIND[manifest["kind"]], []).append(manifest)
    return files


def _kustomization(resources: list[str]) -> str:
    return block({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "resources": resources})


def _per_queue_component() -> Files:
    settings = neutral_settings("per-queue")
    contents = {"trigger-authentication.yaml": [trigger_authentication(settings)]}
    for queue in tuned_catalogue(settings).queues:
        contents[f"{queue.deployment}.yaml"] = queue_objects(settings, queue, BARE_IMAGES)
    replaced = [found for image in IMAGES for found in plain(image_objects(settings, image, BARE_IMAGES))]
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
