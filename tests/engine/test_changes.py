"""One queue's change is one queue's change: in the preview, in the update, and in the cluster."""

import pytest

from .fleet import Fleet, Objects, Step, applied_steps

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

AGENTS = "alphaswarm-executor-agents"
ML = "alphaswarm-executor-ml"


def custom(steps: set[Step]) -> set[Step]:
    """Without components, whose outputs follow."""
    return {step for step in steps if step[1] not in ("Fleet", "QueueWorker", "QueueScaler", "Stack")}


def test_more_pods_for_one_queue_touch_its_scaler_alone(fleet: Fleet) -> None:
    before = fleet.objects()
    fleet.configure(scaling={"agents": {"maxReplicas": 9}})
    expected = {("update", "ScaledObject", AGENTS)}
    assert custom(fleet.preview_steps()) == expected
    assert custom(applied_steps(fleet.up().ok())) == expected
    assert changed(before, fleet.objects()) == {f"ScaledObject/{AGENTS}"}
    assert fleet.objects()[f"ScaledObject/{AGENTS}"]["spec"]["maxReplicaCount"] == 9


def test_other_times_for_one_queue_roll_its_deployment_alone(fleet: Fleet) -> None:
    before = fleet.objects()
    fleet.configure(scaling={"ml": {"gracePeriod": 3800}})
    expected = {("update", "Deployment", ML)}
    assert custom(fleet.preview_steps()) == expected
    assert custom(applied_steps(fleet.up().ok())) == expected
    assert changed(before, fleet.objects()) == {f"Deployment/{ML}"}


def test_another_concurrency_touches_the_deployment_and_the_scaler_of_that_queue_alone(fleet: Fleet) -> None:
    fleet.configure(scaling={"ml": {"concurrency": 3}})
    assert custom(fleet.preview_steps()) == {("update", "Deployment", ML), ("update", "ScaledObject", ML)}


def test_a_new_row_of_the_catalogue_only_creates_that_queue(fleet: Fleet) -> None:
    catalogue = fleet.checkout.folder / "queues.py"
    kept = catalogue.read_text()
    row = (
        'Queue("reports", EXECUTOR, "a row added by a test", replicas=(0, 3), concurrency=2, time_limit=hours(1), '
        "grace_period=seconds(3700), visibility_timeout=minutes(90)),"
    )
    assert kept.count('        Queue(\n            "rag"') == 1
    catalogue.write_text(
        kept.replace('        Queue(\n            "rag"', f'        {row}\n        Queue(\n            "rag"')
    )
    try:
        steps = custom(fleet.preview_steps())
    finally:
        catalogue.write_text(kept)
    name = "alphaswarm-executor-reports"
    created = {("create", kind, name) for kind in ("Deployment", "PodDisruptionBudget", "ScaledObject")}
    others = steps - created
    assert created <= steps
    assert {step[:2] for step in others} <= {("update", "ResourceQuota")}, others


def changed(before: Objects, after: Objects) -> set[str]:
    return {key for key in before | after if before.get(key) != after.get(key)}
