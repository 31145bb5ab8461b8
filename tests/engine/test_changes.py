"""One queue's change is one queue's change: in the preview, in the update, and in the cluster."""

import pytest

from queues import EXECUTOR, QUEUES, ScaleDown

from .fleet import Fleet, Objects, Step, applied_steps

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

ONE, OTHER = [queue for queue in QUEUES.of(EXECUTOR) if queue.scale_down is ScaleDown.ALLOWED][:2]


def custom(steps: set[Step]) -> set[Step]:
    """Without components, whose outputs follow."""
    return {step for step in steps if step[1] not in ("Fleet", "QueueWorker", "QueueScaler", "Stack")}


def test_more_pods_for_one_queue_touch_its_scaler_alone(fleet: Fleet) -> None:
    before = fleet.objects()
    fleet.configure(scaling={ONE.name: {"maxReplicas": ONE.max_replicas + 1}})
    expected = {("update", "ScaledObject", ONE.deployment)}
    assert custom(fleet.preview_steps()) == expected
    assert custom(applied_steps(fleet.up().ok())) == expected
    assert changed(before, fleet.objects()) == {f"ScaledObject/{ONE.deployment}"}
    assert fleet.objects()[f"ScaledObject/{ONE.deployment}"]["spec"]["maxReplicaCount"] == ONE.max_replicas + 1


def test_other_times_for_one_queue_roll_its_deployment_alone(fleet: Fleet) -> None:
    before = fleet.objects()
    fleet.configure(scaling={OTHER.name: {"gracePeriod": int(OTHER.grace_period.total_seconds()) + 60}})
    expected = {("update", "Deployment", OTHER.deployment)}
    assert custom(fleet.preview_steps()) == expected
    assert custom(applied_steps(fleet.up().ok())) == expected
    assert changed(before, fleet.objects()) == {f"Deployment/{OTHER.deployment}"}


def test_another_concurrency_touches_the_deployment_and_the_scaler_of_that_queue_alone(fleet: Fleet) -> None:
    fleet.configure(scaling={OTHER.name: {"concurrency": OTHER.concurrency + 1}})
    assert custom(fleet.preview_steps()) == {
        ("update", "Deployment", OTHER.deployment),
        ("update", "ScaledObject", OTHER.deployment),
    }


def test_a_new_row_of_the_catalogue_only_creates_that_queue(fleet: Fleet) -> None:
    catalogue = fleet.checkout.folder / "queues.py"
    kept = catalogue.read_text()
    row = (
        'Queue("reports", EXECUTOR, "a row added by a test", replicas=(0, 3), concurrency=2, time_limit=hours(1), '
        "grace_period=seconds(3700), visibility_timeout=minutes(90)),"
    )
    last = f'        Queue(\n            "{QUEUES.queues[-1].name}"'
    assert kept.count(last) == 1
    catalogue.write_text(kept.replace(last, f"        {row}\n{last}"))
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
