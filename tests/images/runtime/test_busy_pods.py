"""Beat tells Kubernetes which pods run tasks, with rights for nothing else; without Kubernetes it goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alphaswarm_runtime.scheduler.busy_pods import ANNOTATION, MAX_CHANGES, BusyPods
from celery import Celery

from local.cluster import EmbeddedCluster
from local.cluster.control_plane import API_SERVER, ControlPlane
from manifests.beat_access import beat_access
from manifests.foundation import service_account
from queues import WORKER
from surfaces.base_settings import base_settings
from tests.embedded import Kubectl, embedded, kubectl  # noqa: F401 fixtures
from tests.images.runtime.harness import Fleet, until

pytestmark = pytest.mark.redis

NAMESPACE = "busy"
MESSAGE = '{"properties": {}}'


class Pods:
    """Pods by name, as the API has them."""

    def __init__(self, *names: str) -> None:
        self.pods: dict[str, dict[str, str]] = {name: {} for name in names}
        self.changes = 0

    def annotations(self, _selector: str) -> Mapping[str, Mapping[str, str]]:
        return {name: dict(found) for name, found in self.pods.items()}

    def annotate(self, pod: str, annotation: str, value: str | None) -> bool:
        self.changes += 1
        if value is None:
            del self.pods[pod][annotation]
        else:
            self.pods[pod][annotation] = value
        return True

    @property
    def busy(self) -> set[str]:
        return {name for name, found in self.pods.items() if found.get(ANNOTATION) == "1"}


def busy_pods(fleet: Fleet, pods: Pods) -> BusyPods:
    api: Any = pods
    return BusyPods(Celery("beat", broker=fleet.server.url, set_as_current=False), api, ["default", "paper"])


def owns(fleet: Fleet, owner: str, tag: str, queue: str = "default") -> None:
    with fleet.server.client() as client:
        client.hset(f"unacked:{{{queue}}}", tag, f"{queue}\n{owner}\n0\n{MESSAGE}")


def ends(fleet: Fleet, tag: str, queue: str = "default") -> None:
    with fleet.server.client() as client:
        client.hdel(f"unacked:{{{queue}}}", tag)


def test_a_pod_is_busy_while_it_has_messages_of_any_queue_in_flight(fleet: Fleet) -> None:
    pods = Pods("a", "b", "c")
    look = busy_pods(fleet, pods).look
    owns(fleet, "a:1", "one")
    owns(fleet, "b:2", "two", "paper")
    look()
    look()
    assert pods.busy == {"a", "b"}
    owns(fleet, "b:2", "three")
    ends(fleet, "two", "paper")
    ends(fleet, "one")
    look()
    assert pods.busy == {"b"}
    ends(fleet, "three")
    look()
    assert pods.busy == set()


def test_short_tasks_write_nothing(fleet: Fleet) -> None:
    pods = Pods("a")
    look = busy_pods(fleet, pods).look
    for number in range(4):
        owns(fleet, "a:1", str(number))
        look()
        ends(fleet, str(number))
        look()
    assert pods.changes == 0


def test_a_name_longer_than_a_hostname_is_found(fleet: Fleet) -> None:
    long = "alphaswarm-worker-" + "q" * 60
    pods = Pods(long)
    look = busy_pods(fleet, pods).look
    owns(fleet, f"{long[:63]}:1", "one")
    look()
    look()
    assert pods.busy == {long}
    look()
    assert pods.changes == 1


def test_one_look_writes_no_more_than_the_server_can_bear(fleet: Fleet) -> None:
    names = [f"pod-{number}" for number in range(MAX_CHANGES + 5)]
    pods = Pods(*names)
    look = busy_pods(fleet, pods).look
    for name in names:
        owns(fleet, f"{name}:1", name)
    look()
    look()
    assert len(pods.busy) == MAX_CHANGES
    look()
    assert len(pods.busy) == len(names)


def test_beat_goes_on_where_kubernetes_does_not_answer(fleet: Fleet, tmp_path: Path) -> None:
    beat = fleet.start("beat", ALPHASWARM_API_ACCESS=str(tmp_path / "nothing")).wait_ready()
    until(lambda: "Kubernetes is not told which pods are busy" in beat.output, "it says so")
    with fleet.server.client() as client:
        before = client.llen("default")
        until(lambda: client.llen("default") > before, "it sends")
    assert beat.output.count("Kubernetes is not told") == 1


@pytest.fixture
def access(embedded: EmbeddedCluster, kubectl: Kubectl, tmp_path: Path) -> dict[str, str]:  # noqa: F811
    """What the kubelet gives to beat's pod, from the objects that the fleet has."""
    settings = base_settings("per-queue").model_copy(update={"namespace": NAMESPACE})
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    done = kubectl.apply(space, service_account(settings, WORKER), *beat_access(settings))
    assert done.returncode == 0, done.stderr
    token = kubectl.run("-n", NAMESPACE, "create", "token", WORKER.name)
    assert token.returncode == 0, token.stderr
    authority = ControlPlane(embedded.paths, embedded.ports, embedded.tools).pki.certificate("ca")
    (tmp_path / "api").mkdir()
    for name, text in (("token", token.stdout), ("ca.crt", authority.read_text()), ("namespace", NAMESPACE)):
        (tmp_path / "api" / name).write_text(text)
    return {
        "ALPHASWARM_API_ACCESS": str(tmp_path / "api"),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(embedded.ports.get(API_SERVER)),
    }


def pod(name: str, component: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component}
    container = {"name": "c", "image": "none"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


@pytest.mark.cluster
def test_beat_marks_pods_of_a_real_api_server_with_the_fleets_own_rights(
    fleet: Fleet,
    kubectl: Kubectl,  # noqa: F811
    access: dict[str, str],
) -> None:
    assert kubectl.apply(pod("busy", "worker"), pod("idle", "worker"), pod("other", "redis")).returncode == 0
    beat = fleet.start("beat", **access).wait_ready()
    for name in ("busy", "other"):
        owns(fleet, f"{name}:1", name)

    def marked() -> set[str]:
        found = kubectl.get("-n", NAMESPACE, "pods")["items"]
        return {one["metadata"]["name"] for one in found if ANNOTATION in one["metadata"].get("annotations", {})}

    until(lambda: marked() == {"busy"}, "only the worker that runs a task is marked")
    ends(fleet, "busy")
    until(lambda: marked() == set(), "the mark is gone")
    assert "Kubernetes is not told" not in beat.output


@pytest.mark.cluster
@pytest.mark.usefixtures("access")
@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("list", "pods", True), ("patch", "pods", True), ("get", "pods", False), ("delete", "pods", False),
        ("create", "pods", False), ("create", "pods --subresource=exec", False),
        ("patch", "pods --subresource=status", False),
        ("get", "secrets", False), ("list", "secrets", False), ("patch", "deployments", False),
    ],
)  # fmt: skip
def test_beat_may_do_nothing_else(kubectl: Kubectl, verb: str, resource: str, allowed: bool) -> None:  # noqa: F811
    user = f"system:serviceaccount:{NAMESPACE}:{WORKER.name}"
    done = kubectl.run("-n", NAMESPACE, "auth", "can-i", verb, *resource.split(), "--as", user)
    assert done.stdout.strip() == ("yes" if allowed else "no"), done.stderr
