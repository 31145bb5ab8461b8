import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis as client

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local.cluster import EmbeddedCluster
from local.ports import Ports
from local.processes import start_time
from local.services.redis import Redis
from manifests.scaling import demand_keys, formula, trigger_keys
from queues import QUEUES, Queue, Sessions, seconds
from tests import waiting
from tests.embedded import Kubectl, embedded, kubectl
from toolchain import ensure
from toolchain.catalogue import KUBERNETES

__all__ = ["embedded", "kubectl"]
pytestmark = pytest.mark.cluster
USUAL = replace(QUEUES.queues[0], concurrency=2)
PROMISED = replace(USUAL, name="promised", sessions=Sessions(calendar="XNYS", min_replicas=3), target_wait=seconds(60))
KEYS = demand_keys(USUAL)
POLLING, COOLDOWN = 2, 5  # seconds, of the ScaledObject under test
PARTS = {"etcd", "kube-apiserver", "kube-controller-manager", "keda-operator", "keda-adapter", "keda-webhooks"}
eventually = partial(waiting.eventually, pause=0.5, within=90.0)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str, space: str) -> dict[str, Any]:
    pod = {"containers": [{"name": "worker", "image": "example.test/worker:1"}]}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def scaled_object(name: str, space: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": space},
        "spec": {"scaleTargetRef": {"name": name}, **spec},
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    paths = Paths(tmp_path_factory.mktemp("broker"))
    made = Redis(ensure(["redis-server"], Progress())["redis-server"], paths, Ports(paths.run / "ports.json"))
    made.start(Progress())
    yield made
    made.stop()


def test_the_api_server_is_ready_and_of_the_version_that_was_built(kubectl: Kubectl) -> None:
    assert kubectl.run("get", "--raw", "/readyz").stdout == "ok"
    assert f'"v{KUBERNETES}"' in kubectl.run("get", "--raw", "/version").stdout


def test_a_stranger_without_a_certificate_is_refused(embedded: EmbeddedCluster, kubectl: Kubectl) -> None:
    server = f"https://127.0.0.1:{embedded.ports.get('kube-apiserver')}"
    command = ["--insecure-skip-tls-verify", "get", "namespaces"]
    refused = Kubectl(kubectl.program, Path(os.devnull), "").run("--server", server, "--token", "guess", *command)
    assert "Unauthorized" in refused.stderr or "logged in" in refused.stderr, refused.stderr


def test_everything_but_the_two_known_ports_listens_on_loopback(embedded: EmbeddedCluster) -> None:
    chosen = set(embedded.ports._read().values())
    known = {embedded.ports.get("keda-webhooks"), embedded.ports.get("keda-adapter-metrics")}
    open_to_all = {port for address, port in listening() if set(address) == {"0"}}
    assert open_to_all & chosen == known, "a port of the cluster is open to the network"


def test_pods_may_not_break_the_rules_of_their_namespace(kubectl: Kubectl) -> None:
    strict = namespace("strict")
    strict["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert kubectl.apply(strict).returncode == 0
    eventually(lambda: kubectl.run("get", "serviceaccount", "default", "-n", "strict").returncode, 0)
    refused = kubectl.run("run", "loose", "--image=example.test/x:1", "-n", "strict")
    assert "violates PodSecurity" in refused.stderr


def test_a_deleted_namespace_with_a_claim_is_gone(kubectl: Kubectl) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "brief"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    assert kubectl.apply(namespace("brief"), claim).returncode == 0
    kubectl.run("delete", "namespace", "brief", "--wait=false")
    eventually(lambda: kubectl.run("get", "namespace", "brief").returncode, 1)


def test_keda_refuses_a_scaled_object_on_a_deployment_that_has_an_autoscaler(kubectl: Kubectl) -> None:
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "mine", "namespace": "taken"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
        },
    }
    made = kubectl.apply(namespace("taken"), deployment("worker", "taken"), hpa)
    assert made.returncode == 0, made.stderr
    cron = {"timezone": "UTC", "start": "0 0 * * *", "end": "1 0 * * *", "desiredReplicas": "1"}
    refused = kubectl.apply(scaled_object("worker", "taken", {"triggers": [{"type": "cron", "metadata": cron}]}))
    assert refused.returncode == 1, "two autoscalers would fight over one Deployment"
    assert "already managed by the hpa 'mine'" in refused.stderr, refused.stderr


def test_replicas_follow_waiting_plus_running_tasks(kubectl: Kubectl, broker: Redis) -> None:
    queue = client.Redis.from_url(broker.url())
    queue.rpush(KEYS["waiting"], *range(5))
    queue.rpush(KEYS["waiting6"], *range(2))
    queue.hset(KEYS["running"], mapping={str(number): "task" for number in range(5)})
    made = kubectl.apply(namespace("fleet"), deployment("q", "fleet"), *scaling("fleet", broker, USUAL))
    assert made.returncode == 0, made.stderr

    def replicas() -> int:
        found: int = kubectl.get("deployment", "q", "-n", "fleet")["spec"]["replicas"]
        return found

    eventually(replicas, 6)  # 7 wait and 5 run, 2 tasks a pod; the larger of the two alone would give 4

    queue.delete(KEYS["waiting"], KEYS["waiting6"])
    queue.hdel(KEYS["running"], *map(str, range(1, 5)))
    eventually(replicas, 1)
    time.sleep(COOLDOWN + POLLING + 1)  # KEDA removes the pod after these, or never: only time shows that it does not
    assert replicas() == 1, "the pod that runs the last task was removed"

    queue.delete(KEYS["running"])
    eventually(replicas, 0)


def test_a_session_is_a_floor_and_a_promise_lets_tasks_wait(kubectl: Kubectl, broker: Redis) -> None:
    queue, keys = client.Redis.from_url(broker.url()), trigger_keys(PROMISED)
    queue.rpush(keys["share"], *range(100))
    made = kubectl.apply(namespace("promises"), deployment("q", "promises"), *scaling("promises", broker, PROMISED))
    assert made.returncode == 0, made.stderr

    def replicas() -> int:
        found: int = kubectl.get("deployment", "q", "-n", "promises")["spec"]["replicas"]
        return found

    eventually(replicas, 0)  # a share is no work

    queue.ltrim(keys["share"], 0, 9)
    queue.rpush(keys["waiting"], *range(20))
    queue.rpush(keys["waiting3"], *range(20))
    eventually(replicas, 2)  # 40 tasks of a tenth of a slot, 2 slots a pod

    queue.rpush(keys["sessionPods"], *range(3))
    eventually(replicas, 3)

    queue.rpush(keys["waiting"], *range(60))
    eventually(replicas, 5)  # 100 tasks: a session hides no work

    queue.hset(keys["running"], mapping={str(number): "task" for number in range(14)})
    eventually(replicas, 7)  # each that runs has a slot

    queue.delete(keys["share"])
    eventually(replicas, 10)  # without beat each has one: 57 pods, and 10 are the most

    queue.delete(keys["waiting"], keys["waiting3"], keys["running"])
    eventually(replicas, 3)
    queue.delete(keys["sessionPods"])
    eventually(replicas, 0)


def scaling(space: str, broker: Redis, queue: Queue) -> tuple[dict[str, Any], ...]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "broker", "namespace": space},
        "stringData": {"password": broker.password},
    }
    authentication = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "broker", "namespace": space},
        "spec": {"secretTargetRef": [{"parameter": "password", "name": "broker", "key": "password"}]},
    }
    triggers = [
        {
            "type": "redis",
            "name": name,
            "metadata": {"address": f"{broker.host}:{broker.port}", "listName": key, "listLength": "1"},
            "authenticationRef": {"name": "broker"},
        }
        for name, key in trigger_keys(queue).items()
    ]
    modifiers = {"formula": formula(queue), "target": str(queue.concurrency), "metricType": "AverageValue"}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    spec = {
        "minReplicaCount": 0,
        "maxReplicaCount": 10,
        "pollingInterval": POLLING,
        "cooldownPeriod": COOLDOWN,
        "advanced": {"scalingModifiers": modifiers, "horizontalPodAutoscalerConfig": {"behavior": behavior}},
        "triggers": triggers,
    }
    return secret, authentication, scaled_object("q", space, spec)


def listening() -> list[tuple[str, int]]:
    """Address (hexadecimal) and port of every TCP listener of the machine."""
    tables = [table.read_text().splitlines()[1:] for table in Path("/proc/net").glob("tcp*")]  # no tcp6 without IPv6
    lines = [line.split() for table in tables for line in table]
    bound = [line[1].rpartition(":") for line in lines if line[3] == "0A"]
    return [(address, int(port, 16)) for address, _, port in bound]


def pids(cluster: EmbeddedCluster) -> dict[str, int]:
    return {part.name: part.pid for part in cluster.status() if part.pid is not None}


def test_a_second_start_leaves_every_running_part_alone(embedded: EmbeddedCluster) -> None:
    before = pids(embedded)
    assert set(before) == PARTS
    EmbeddedCluster(embedded.paths, embedded.ports, embedded.tools).start(Progress())
    assert pids(embedded) == before


@pytest.mark.parametrize("part", ["keda-webhooks", "kube-controller-manager"])
def test_a_part_that_died_is_started_again_and_no_other(embedded: EmbeddedCluster, part: str) -> None:
    before = pids(embedded)
    os.kill(before[part], 9)
    eventually(lambda: start_time(before[part]), None)
    embedded.start(Progress())
    after = pids(embedded)
    assert {name for name in PARTS if after[name] != before[name]} == {part}


def test_what_stop_ends_is_gone_and_start_brings_its_objects_back(embedded: EmbeddedCluster, kubectl: Kubectl) -> None:
    assert kubectl.apply(namespace("kept")).returncode == 0
    before, used = pids(embedded), embedded.ports._read().values()
    embedded.stop(Progress())
    assert [name for name, pid in before.items() if start_time(pid) is not None] == []
    assert {port for _, port in listening()}.isdisjoint(used), "something still listens"
    embedded.start(Progress())
    assert set(pids(embedded)) == PARTS
    assert kubectl.get("namespace", "kept")["status"]["phase"] == "Active"


def test_damaged_data_are_answered_with_the_way_to_begin_anew(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    broken = EmbeddedCluster(paths, Ports(paths.run / "ports.json"), embedded.tools)
    wal = paths.state / "state" / "etcd" / "member" / "wal"
    wal.mkdir(parents=True)
    (wal / "0000000000000000-0000000000000000.wal").write_bytes(b"torn")
    with pytest.raises(CommandError, match="`make down` deletes them"):
        broken.start(Progress())
    assert not any(part.running for part in broken.status())


def test_a_cluster_whose_ports_were_taken_moves_and_works(embedded: EmbeddedCluster, kubectl: Kubectl) -> None:
    embedded.stop(Progress())
    names = ("etcd", "etcd-peer", "kube-apiserver", "keda-webhooks", "keda-adapter", "keda-operator-grpc")
    before = {name: embedded.ports.get(name) for name in names}
    strangers = [socket.create_server(("127.0.0.1", port)) for port in before.values()]
    try:
        embedded.start(Progress())
        assert [name for name in names if embedded.ports.get(name) == before[name]] == []
        assert kubectl.get("namespace", "default")["status"]["phase"] == "Active"
        assert embedded._keda.ready(), "admission or metrics are still asked at the old ports"
    finally:
        for stranger in strangers:
            stranger.close()
