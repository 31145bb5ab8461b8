"""What is left of a stack, from the state that Pulumi exports and the objects that kubectl shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.paths import Paths
from local.cluster import ContextCluster
from local.remaining import Held, Remaining, commands, held, remaining


def resource(type_: str, ident: str | None, *, custom: bool = True) -> dict[str, Any]:
    return {"type": type_, "id": ident, "custom": custom, "urn": f"urn:pulumi:local::fleet::{type_}::name"}


REDIS = Remaining("alphaswarm", "Deployment", "apps", "redis")
SCALER = Remaining("alphaswarm", "ScaledObject", "keda.sh", "agents")
NAMESPACE = Remaining("", "Namespace", "", "alphaswarm")


def test_only_what_lies_in_the_cluster_is_named_and_by_kubectls_words() -> None:
    found = remaining(
        [
            resource("pulumi:pulumi:Stack", None, custom=False),
            resource("alphaswarm:fleet:Broker", None, custom=False),
            resource("pulumi:providers:kubernetes", "8a1f"),
            resource("aws:ecr/repository:Repository", "alphaswarm-worker"),
            resource("kubernetes:keda.sh/v1alpha1:ScaledObject", "alphaswarm/agents"),
            resource("kubernetes:core/v1:Namespace", "alphaswarm"),
            resource("kubernetes:apps/v1:Deployment", "alphaswarm/redis"),
        ]
    )
    assert found == [NAMESPACE, REDIS, SCALER]
    assert [one.word for one in found] == [
        "namespace/alphaswarm",
        "deployment.apps/redis",
        "scaledobject.keda.sh/agents",
    ]
    assert [str(one) for one in found][:2] == ["Namespace alphaswarm", "Deployment alphaswarm/redis"]


def leaving(kind: str, name: str, **spec: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "alphaswarm", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture
def cluster(tmp_path: Path) -> ContextCluster:
    return ContextCluster("dev", Paths(tmp_path), tmp_path / "kubectl")


def answering(cluster: ContextCluster, *items: dict[str, Any], status: int = 0) -> None:
    """kubectl that shows these objects whatever it is asked for, and notes what it was asked."""
    answer = cluster.kubectl.with_name("answer.json")
    answer.write_text(json.dumps({"kind": "List", "items": items}))
    cluster.kubectl.write_text(f'#!/bin/sh\necho "$*" >> "{answer}.asked"\ncat "{answer}"\nexit {status}\n')
    cluster.kubectl.chmod(0o755)


def test_what_is_being_deleted_is_shown_with_what_holds_it(cluster: ContextCluster) -> None:
    finalized = leaving("Service", "redis")
    finalized["metadata"]["finalizers"] = ["example.com/never"]
    staying = leaving("Secret", "broker")
    del staying["metadata"]["deletionTimestamp"]
    answering(cluster, finalized, staying)
    found = held([Remaining("alphaswarm", "Service", "", "redis")], cluster, cluster.kubectl)
    assert set(found) == {
        Held("service/redis", "alphaswarm", "2026-01-01T00:00:00Z", "finalizers example.com/never"),
    }


def test_a_pod_whose_node_is_gone_says_so(cluster: ContextCluster) -> None:
    answering(cluster, leaving("Pod", "redis-abc", nodeName="gone"))
    found = held([REDIS], cluster, cluster.kubectl)
    assert found[-1].word == "pod/redis-abc"
    assert found[-1].reason == "node gone has not confirmed its end"
    asked = cluster.kubectl.with_name("answer.json.asked").read_text().splitlines()
    assert any(line.endswith(" deployment.apps/redis") for line in asked)
    assert any(line.endswith(" pods") for line in asked), "a pod is no resource of the stack, and is what hangs"


def test_a_namespace_that_waits_is_asked_for_what_it_waits_for(cluster: ContextCluster) -> None:
    said = "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances"
    waiting = leaving("Namespace", "alphaswarm")
    del waiting["metadata"]["namespace"]
    waiting["status"] = {"conditions": [{"status": "True", "message": said}, {"status": "False", "message": "no"}]}
    answering(cluster, waiting)
    assert [one.reason for one in held([NAMESPACE], cluster, cluster.kubectl)] == [said]
    asked = cluster.kubectl.with_name("answer.json.asked").read_text().splitlines()
    assert asked[-1].endswith(" deployments.apps,pods")
    assert " -n alphaswarm " in asked[-1]


def test_a_cluster_that_does_not_answer_holds_nothing_that_we_know_of(cluster: ContextCluster) -> None:
    cluster.kubectl.write_text("#!/bin/sh\necho refused >&2\nexit 1\n")
    cluster.kubectl.chmod(0o755)
    assert held([REDIS, NAMESPACE], cluster, cluster.kubectl) == []


def test_the_commands_remove_everything_the_namespace_last() -> None:
    stuck = [
        Held("deployment.apps/redis", "alphaswarm", "now", "finalizers example.com/never"),
        Held("pod/redis-abc", "alphaswarm", "now", "node gone has not confirmed its end"),
        Held("namespace/alphaswarm", "", "now", "finalizers kubernetes"),
    ]
    assert commands([NAMESPACE, REDIS, SCALER], stuck, ("--context", "dev")) == [
        "kubectl --context dev -n alphaswarm patch deployment.apps/redis --type=merge "
        '-p \'{"metadata":{"finalizers":null}}\'',
        "kubectl --context dev -n alphaswarm delete pod/redis-abc --force --grace-period=0",
        "kubectl --context dev -n alphaswarm delete --ignore-not-found --wait=false deployment.apps/redis "
        "scaledobject.keda.sh/agents",
        "kubectl --context dev delete --ignore-not-found --wait=false namespace/alphaswarm",
    ]
