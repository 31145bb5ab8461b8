"""A stack may change its layout and change back; no Deployment ever has two autoscalers."""

import pytest

from .fleet import Fleet, Objects, assert_same

pytestmark = [pytest.mark.engine, pytest.mark.cluster]


def test_the_layout_changes_and_changes_back_in_one_stack(fleet: Fleet) -> None:
    expected = fleet.snapshot()
    fleet.configure(layout="per-image")
    fleet.up().ok()
    by_image = fleet.objects()
    assert targets(by_image, "HorizontalPodAutoscaler") == {"alphaswarm-worker", "alphaswarm-executor"}
    assert targets(by_image, "ScaledObject") == set()
    assert workers(by_image) == {"alphaswarm-worker", "alphaswarm-executor"}
    assert workers(by_image).isdisjoint(workers(expected.objects)), "both autoscalers could meet on one target"
    assert fleet.preview_steps() == set()
    fleet.configure()
    fleet.up().ok()
    assert_same(fleet.snapshot(), expected)


def targets(objects: Objects, kind: str) -> set[str]:
    return {found["spec"]["scaleTargetRef"]["name"] for key, found in objects.items() if key.startswith(f"{kind}/")}


def workers(objects: Objects) -> set[str]:
    deployments = {key.partition("/")[2] for key in objects if key.startswith("Deployment/")}
    return deployments - {"alphaswarm-beat", "redis"}
