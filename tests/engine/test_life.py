"""Interrupted, killed, destroyed: the same command goes on, and the end leaves nothing."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.waiting import PATIENCE, eventually

from .fleet import Fleet, Snapshot, assert_same

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

IDENTITY = {"oidcProviderArn": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/TEST"}
CLUSTER_WIDE = "namespaces,priorityclasses,clusterroles,clusterrolebindings,persistentvolumes"


def test_destroy_leaves_nothing_in_cluster_account_and_state(fleet: Fleet) -> None:
    fleet.configure(registry={"kmsKey": "create"}, identity=IDENTITY)
    fleet.up().ok()
    assert fleet.repositories()["alphaswarm-worker"]["encryptionConfiguration"]["encryptionType"] == "KMS"
    assert len(fleet.aws("iam").list_roles()["Roles"]) == 2
    fleet.pulumi("destroy", "--yes", "--skip-preview").ok()
    assert fleet.state() == []
    assert fleet.aws("ecr").describe_repositories()["repositories"] == []
    assert fleet.aws("iam").list_roles()["Roles"] == []
    assert [alias for alias in fleet.aws("kms").list_aliases()["Aliases"] if "alphaswarm" in alias["AliasName"]] == []
    for key in fleet.aws("kms").list_keys()["Keys"]:
        about = fleet.aws("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        assert about["KeyState"] == "PendingDeletion", about
    left = fleet.kubectl.get(CLUSTER_WIDE)["items"]
    assert [item["metadata"]["name"] for item in left if "alphaswarm" in item["metadata"]["name"]] == []


def test_a_protected_stack_is_destroyed_once_it_is_unprotected_and_before_that_not_in_part(fleet: Fleet) -> None:
    fleet.configure(protect=True)
    fleet.up().ok()
    expected = fleet.snapshot()
    refused = fleet.pulumi("destroy", "--yes")
    assert refused.status != 0
    assert "protected" in refused.text
    assert_same(fleet.snapshot(), expected)
    fleet.stack.engine.capture("state", "unprotect", "--all", "--yes", "--stack", fleet.name, cwd=fleet.stack.folder)
    fleet.pulumi("destroy", "--yes", "--skip-preview").ok()
    assert fleet.state() == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=["interrupted", "killed"]
)
def test_an_up_that_is_cut_short_goes_on_to_the_same_end(
    running_fleet: Fleet, first_snapshot: Snapshot, number: signal.Signals, status: int
) -> None:
    running_fleet.configure()
    running_fleet.pulumi("destroy", "--yes", "--skip-preview").ok()
    running = running_fleet.checkout.start("up")
    wait_until_half_way(running_fleet, running)
    os.killpg(running.pid, number)
    assert running.wait(PATIENCE) == status, running_fleet.checkout.output_file.read_text()
    if number is signal.SIGINT:
        assert "update canceled" in running_fleet.checkout.output_file.read_text(), (
            "the engine was killed before it could end"
        )
    eventually(running_fleet.checkout.plugins, [])
    made = len(running_fleet.state())
    assert 0 < made < len(first_snapshot.resources), "the run was not cut short in the middle"
    running_fleet.checkout.local("up").ok()
    assert_same(running_fleet.snapshot(), first_snapshot)
    assert running_fleet.stack.pending_creates() == frozenset()
    assert list(running_fleet.checkout.paths.state.rglob("*.attrs")) == [], (
        "a kill leaves one half written, nothing loads"
    )
    running_fleet.mark_restored()


def test_what_a_killed_run_made_and_could_not_write_down_is_taken_up(fleet: Fleet, first_snapshot: Snapshot) -> None:
    fleet.mark_changed()
    lose(fleet, ("aws:ecr/", "kubernetes:scheduling.k8s.io/"))
    assert fleet.stack.pending_creates() == {
        "aws:ecr/repository:Repository",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        "kubernetes:scheduling.k8s.io/v1:PriorityClass",
    }
    fleet.checkout.local("up").ok()
    assert_same(fleet.snapshot(), first_snapshot)
    assert fleet.stack.pending_creates() == frozenset(), "each later up would look for it again"
    fleet.mark_restored()


def test_the_lock_of_a_dead_run_is_released_and_that_of_a_live_one_kept(fleet: Fleet) -> None:
    folder = fleet.checkout.paths.state / "pulumi" / ".pulumi" / "locks"
    lock = next(iter(folder.rglob("local")), folder / "organization" / "alphaswarm-fleet" / "local") / "test.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["sleep", "600"]) as living:
        try:
            lock.write_text(json.dumps({"pid": living.pid, "username": "u", "hostname": "h"}))
            refused = fleet.pulumi("up", "--yes", "--skip-preview")
            held = lock.exists()
        finally:
            living.kill()
    assert held, "a live run lost its lock"
    assert refused.status != 0
    assert "the stack is currently locked by 1 lock" in refused.text
    fleet.up("--expect-no-changes").ok()
    assert not lock.exists()


def wait_until_half_way(fleet: Fleet, running: "subprocess.Popen[bytes]") -> None:
    def started() -> bool:
        assert running.poll() is None, fleet.checkout.output_file.read_text()
        return "apps/v1:Deployment alphaswarm-executor" in fleet.checkout.output_file.read_text()

    eventually(started, expected=True, pause=0.02)


def lose(fleet: Fleet, kinds: tuple[str, ...]) -> None:
    """Make the state what a kill leaves between the making of a resource and its writing down."""
    file = next((fleet.checkout.paths.state / "pulumi" / ".pulumi" / "stacks").rglob("local.json"))
    document = json.loads(file.read_text())
    latest = document["checkpoint"]["latest"]
    lost = [resource for resource in latest["resources"] if resource["type"].startswith(kinds)]
    names = {resource["urn"] for resource in lost}
    latest["resources"] = [without(resource, names) for resource in latest["resources"] if resource not in lost]
    pending = [{key: value for key, value in resource.items() if key not in ("id", "outputs")} for resource in lost]
    latest["pending_operations"] = [{"resource": resource, "type": "creating"} for resource in pending]
    file.write_text(json.dumps(document))


def without(resource: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The resource, which no longer says that it depends on those."""
    kept = dict(resource)
    kept["dependencies"] = [urn for urn in kept.get("dependencies") or () if urn not in names]
    kept["propertyDependencies"] = {
        key: [urn for urn in urns or () if urn not in names]
        for key, urns in (kept.get("propertyDependencies") or {}).items()
    }
    return kept
