"""What the program registers is what `kubectl kustomize` makes of the committed tree, object by object, field by field.

The digests and the roles' ARNs, which no file can know, are added in a kustomization of the reader's own, just as
deploy/kustomize/README.md tells a reader to. Secrets stand in no file; `pulumi.com/skipAwait` speaks to Pulumi alone.
The replicas that a queue begins with are for its first moment: a file is applied again, over the scaler's number.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from queues import QUEUES
from tests.program.harness import LAYOUTS, ROOT, STACKS, Program, Registration, program
from tests.surfaces.compare import compare

KUBECTL = Path(sys.executable).parent / "kubectl"
OVERLAYS = ROOT / "deploy/kustomize/overlays"
ROLE = "eks.amazonaws.com/role-arn"
SKIP_AWAIT = "pulumi.com/skipAwait"
# With skipAwait, a Secret and the roles' annotations set aside, this many objects a stack and layout are compared.
EACH = 3 * len(QUEUES.queues)  # Deployment, PodDisruptionBudget and ScaledObject a queue
COUNTS = {
    ("local", "per-queue"): 17 + EACH, ("local", "per-image"): 22,
    ("dev", "per-queue"): 14 + EACH, ("dev", "per-image"): 19,
    ("staging", "per-queue"): 15 + EACH, ("staging", "per-image"): 20,
    ("prod", "per-queue"): 15 + EACH, ("prod", "per-image"): 20,
}  # fmt: skip


def registered(found: Program) -> list[dict[str, Any]]:
    """The program's Kubernetes objects, without Secrets and what only Pulumi reads."""
    objects = found.kubernetes().items()
    return [_without_skip_await(_without_first_replicas(one)) for (kind, _), one in objects if kind != "Secret"]


def _without_first_replicas(one: Registration) -> Mapping[str, Any]:
    if "spec.replicas" not in one.ignored:
        return one.inputs
    spec = {key: value for key, value in one.inputs["spec"].items() if key != "replicas"}
    return {**one.inputs, "spec": spec}


def _without_skip_await(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(manifest["metadata"])
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key != SKIP_AWAIT}
    return {**manifest, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def own_kustomization(folder: Path, overlay: Path, found: Program) -> None:
    """What a reader writes: an overlay, the digests, and the roles where the stack has some."""
    images = []
    for name, reference in found.exports["images"].items():
        repository, digest = reference.split("@")
        images.append({"name": name, "newName": repository, "digest": digest})
    patches = [
        {
            "target": {"kind": "ServiceAccount", "name": name},
            "patch": yaml.safe_dump(
                [{"op": "add", "path": "/metadata/annotations", "value": account["metadata"]["annotations"]}]
            ),
        }
        for name, account in found.manifests("ServiceAccount").items()
        if "annotations" in account["metadata"]
    ]
    document = {"resources": [os.path.relpath(overlay, folder)], "images": images, "patches": patches}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))


def rendered(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder. Raises CalledProcessError."""
    done = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_program_and_the_committed_kustomize_tree_deploy_the_same(stack: str, layout: str, tmp_path: Path) -> None:
    found = program(stack, layout)
    own_kustomization(tmp_path.resolve(), OVERLAYS / stack / layout, found)
    objects = registered(found)
    differences = compare(rendered(tmp_path.resolve()), objects)
    assert not differences, "\n".join(["who deploys from files gets another fleet:", *differences])
    assert len(objects) == COUNTS[stack, layout]


def test_every_stack_and_layout_has_an_overlay() -> None:
    overlays = {(found.parent.parent.name, found.parent.name) for found in OVERLAYS.glob("*/*/kustomization.yaml")}
    assert overlays == {(stack, layout) for stack in STACKS for layout in LAYOUTS}


def test_no_file_of_the_tree_holds_a_secret() -> None:
    files = list((ROOT / "deploy/kustomize").rglob("*.yaml"))
    assert len(files) > 30
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            assert document.get("kind") != "Secret", f"{file} would publish a password"
