"""Every option of pods and volumes, on the real API server: admitted as a Deployment, and as a pod of the namespace."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from queues import EXECUTOR, QUEUES, ScaleDown
from tests.kubernetes_values import cases
from tests.pod_options import SCOPES, pod_options
from tests.waiting import eventually

from .fleet import NAMESPACE, Fleet

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

ALWAYS_ON = next(queue for queue in QUEUES.queues if queue.min_replicas > 0)
HEAVY = next(queue for queue in QUEUES.of(EXECUTOR) if queue.scale_down is ScaleDown.ALLOWED)
VOLUMES = {
    "/app/data": {"kind": "claim", "claim": "data", "subPath": "fleet"},
    "/app/models": {"kind": "ephemeral", "size": "10Gi", "queues": [HEAVY.name]},
    "/app/cache": {"kind": "emptyDir", "size": "50Gi"},
}


def options(scope: str) -> dict[str, Any]:
    """All of them but a RuntimeClass, which would have to be in the cluster."""
    return {key: value for key, value in pod_options(scope).items() if key != "runtimeClass"}


def pods_of(fleet: Fleet, deployment: str) -> list[dict[str, Any]]:
    """The pods that have the options' own label."""
    found: list[dict[str, Any]] = fleet.kubectl.get(
        "-n", NAMESPACE, "pods", "-l", f"app.kubernetes.io/instance={deployment},team.example.com/name=quant"
    )["items"]
    return found


def is_settled(fleet: Fleet, deployment: str, before: set[str]) -> bool:
    return bool(pods_of(fleet, deployment) or set(refused_pods(fleet)) - before)


def refused_pods(fleet: Fleet) -> list[str]:
    events = fleet.kubectl.get("-n", NAMESPACE, "events", "--field-selector", "reason=FailedCreate")["items"]
    return [event["message"] for event in events]


@pytest.fixture
def config_map(fleet: Fleet) -> Iterator[None]:
    """What the options name, and must be there: KEDA, too, resolves the variables of the pods that it scales."""
    fleet.kubectl.run("-n", NAMESPACE, "create", "configmap", "app", "--from-literal=mode=fast")
    yield
    fleet.kubectl.run("-n", NAMESPACE, "delete", "configmap", "app")


@pytest.mark.usefixtures("config_map")
def test_pods_with_every_option_are_admitted(fleet: Fleet) -> None:
    pods = {
        **{scope: options(scope) for scope in SCOPES},
        "queues": {queue.name: options(f"queue{index}") for index, queue in enumerate((ALWAYS_ON, HEAVY))},
    }
    before = set(refused_pods(fleet))
    fleet.configure(pods=pods, volumes=VOLUMES, scaling={HEAVY.name: {"minReplicas": 1}})
    fleet.up().ok()
    for deployment in (ALWAYS_ON.deployment, HEAVY.deployment, "alphaswarm-beat"):
        eventually(partial(is_settled, fleet, deployment, before), True)
    assert sorted(set(refused_pods(fleet)) - before) == []
    (pod, *_) = pods_of(fleet, HEAVY.deployment)
    assert {one["name"]: one.get("restartPolicy") for one in pod["spec"]["initContainers"]} == {
        "all-proxy": "Always", "executor-proxy": "Always", "queue1-proxy": "Always",
        "all-migrate": None, "executor-migrate": None, "queue1-migrate": None,
    }  # fmt: skip
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data"
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert "ephemeral" in volumes["models"]
    assert fleet.preview_steps() == set(), "what the server fills in shows as a difference"


def test_the_server_refuses_what_the_program_refuses(fleet: Fleet) -> None:
    """Every rule that the program knows beyond the types of fields, on both of its sides."""
    tried = {f"case-{index}": case for index, case in enumerate(cases())}
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": case.spec}
        for name, case in tried.items()
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": pods}
    said = fleet.kubectl.run("create", "--dry-run=server", "-o", "name", "-f", "-", given=json.dumps(listed))
    taken = {line.removeprefix("pod/") for line in said.stdout.splitlines()}
    assert {str(tried[name]) for name in taken} == {str(case) for case in tried.values() if not case.refused}, said
