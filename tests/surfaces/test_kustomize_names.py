"""`namePrefix`, `nameSuffix` and `namespace` over the committed tree: whatever names another object still finds it."""

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests import Manifest
from queues import QUEUES
from surfaces.base_settings import LAYOUTS

STACKS = ("dev", "local", "prod", "staging")
OUTSIDE = {"alphaswarm-broker", "alphaswarm-redis"}  # Secrets that stand in no file


def own(folder: Path, overlay: Path, **more: Any) -> Path:  # noqa: ANN401 any field of a kustomization
    """A reader's own kustomization."""
    folder.mkdir()
    document = {
        "namePrefix": "blue-", "nameSuffix": "-two", "namespace": "elsewhere",
        "resources": [os.path.relpath(overlay, folder.resolve())], **more,
    }  # fmt: skip
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return folder


def references(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Every kind and name that an object of the fleet refers to."""
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "ScaledObject" | "HorizontalPodAutoscaler":
            yield "Deployment", spec["scaleTargetRef"]["name"]
            for trigger in spec.get("triggers", ()):
                yield "TriggerAuthentication", trigger["authenticationRef"]["name"]
        case "Deployment":
            pod = spec["template"]["spec"]
            if "serviceAccountName" in pod:
                yield "ServiceAccount", pod["serviceAccountName"]
                yield "PriorityClass", pod["priorityClassName"]
        case "RoleBinding":
            yield "Role", manifest["roleRef"]["name"]
            for subject in manifest["subjects"]:
                yield "ServiceAccount", subject["name"]
                assert subject["namespace"] == "elsewhere"


def secrets(manifest: Any) -> Iterator[str]:  # noqa: ANN401 any part of an object
    if isinstance(manifest, dict):
        for key, value in manifest.items():
            if key in ("secretKeyRef", "secretTargetRef"):
                yield from (one["name"] for one in (value if isinstance(value, list) else [value]))
            yield from secrets(value)
    elif isinstance(manifest, list):
        for item in manifest:
            yield from secrets(item)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stack", STACKS)
def test_what_names_another_object_follows_it(
    stack: str, layout: str, root: Path, tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    objects = kustomize(own(tmp_path / "mine", root / "deploy/kustomize/overlays" / stack / layout))
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    named = [reference for manifest in objects for reference in references(manifest)]
    assert len(named) >= 10, "nothing was looked at"
    assert [reference for reference in named if reference not in there] == []
    assert set(secrets(objects)) <= OUTSIDE, "who makes that Secret knows it by its own name"
    for manifest in objects:
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["name"].startswith("blue-")
            assert manifest["metadata"]["name"].endswith("-two")
        assert manifest["metadata"].get("namespace", "elsewhere") == "elsewhere"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_policies_and_budgets_select_the_pods_that_they_selected(
    layout: str, root: Path, tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    overlay = root / "deploy/kustomize/overlays/prod" / layout
    before = kustomize(overlay)
    after = kustomize(own(tmp_path / "mine", overlay))

    def selectors(objects: list[Manifest]) -> list[Any]:
        kinds = ("NetworkPolicy", "PodDisruptionBudget", "Deployment")
        return [
            (one["kind"], one["spec"].get("selector") or one["spec"].get("podSelector"))
            for one in objects
            if one["kind"] in kinds
        ]

    assert selectors(after) == selectors(before)


def test_the_readmes_replacements_take_the_address_of_the_stacks_own_redis_along(
    root: Path, tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    page = (root / "deploy/kustomize/README.md").read_text()
    found = re.search(r"^    replacements:\n(?:    .*\n)+", page, re.MULTILINE)
    assert found
    replacements = yaml.safe_load(textwrap.dedent(found[0]))["replacements"]
    overlay = root / "deploy/kustomize/overlays/local/per-queue"
    objects = kustomize(own(tmp_path / "mine", overlay, replacements=replacements))
    (service,) = (one["metadata"] for one in objects if one["kind"] == "Service")
    host = f"{service['name']}.{service['namespace']}.svc.cluster.local"
    text = yaml.safe_dump_all(objects)
    assert "redis.alphaswarm.svc" not in text
    assert text.count(f"address: {host}:6379") > len(QUEUES.queues), "a scaler has several triggers"
    assert text.count(f"value: {host}\n") > len(QUEUES.queues), "every worker, and beat"
