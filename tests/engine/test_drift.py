"""What somebody else changed shows, by name, and an update puts it right; what autoscalers change is no drift."""

import pytest

from queues import QUEUES

from .fleet import NAMESPACE, Fleet, assert_same

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

ONE, OTHER, ANOTHER = [queue.deployment for queue in QUEUES.queues if queue.min_replicas == 0][:3]
DRIFTED = {
    ("Deployment", OTHER),
    ("PodDisruptionBudget", ANOTHER),
    ("ScaledObject", ONE),
    ("Repository", "alphaswarm-worker"),
    ("LifecyclePolicy", "alphaswarm-executor"),
}


def drift(fleet: Fleet) -> None:
    """Somebody else's hands."""
    kubectl = fleet.kubectl
    for words in (
        ("set", "image", f"deployment/{OTHER}", "*=registry.example/strange:1"),
        ("delete", "poddisruptionbudget", ANOTHER),
        ("patch", "scaledobject", ONE, "--type=merge", '-p={"spec":{"maxReplicaCount":99}}'),
    ):
        answer = kubectl.run("-n", NAMESPACE, *words)
        assert answer.returncode == 0, answer.stderr
    ecr = fleet.aws("ecr")
    ecr.put_image_tag_mutability(repositoryName="alphaswarm-worker", imageTagMutability="MUTABLE")
    ecr.delete_lifecycle_policy(repositoryName="alphaswarm-executor")


def test_drift_in_cluster_and_account_is_shown_by_name_and_repaired(fleet: Fleet) -> None:
    expected = fleet.snapshot()
    fleet.mark_changed()
    drift(fleet)
    shown = fleet.pulumi("refresh", "--preview-only", "--diff").ok()
    for kind, name in DRIFTED:
        assert named(kind, name) in shown.out, f"{kind} {name} drifted and is not shown:\n{shown.out}"
    assert "registry.example/strange:1" in shown.out
    assert "99" in shown.out
    assert '"IMMUTABLE_WITH_EXCLUSION" => "MUTABLE"' in shown.out
    fleet.up("--refresh").ok()
    assert_same(fleet.snapshot(), expected)


def test_replicas_that_autoscalers_set_are_no_drift(fleet: Fleet) -> None:
    answer = fleet.kubectl.run("-n", NAMESPACE, "scale", f"deployment/{ONE}", "--replicas=3")
    assert answer.returncode == 0, answer.stderr
    shown = fleet.pulumi("refresh", "--preview-only", "--expect-no-changes")
    shown.ok()
    assert fleet.preview_steps("--refresh") == set()


def named(kind: str, name: str) -> str:
    """The end of the URN that the engine's diff names a resource by."""
    return f":{kind}::{name}]"
