"""What each pod may take, who it is, and how long it gets: the literals of the platform's own table."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.program.harness import LAYOUTS, STACKS, container, env, program, queues_of

PROFILES = {
    "alphaswarm-worker": {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "4", "memory": "8Gi"},
        "directories": {"/tmp", "/app/data"},  # noqa: S108 inside the container
        "concurrency": "4",
    },
    "alphaswarm-executor": {
        "requests": {"cpu": "1", "memory": "4Gi"},
        "limits": {"cpu": "8", "memory": "16Gi"},
        "directories": {"/tmp", "/app/data", "/app/models"},  # noqa: S108 inside the container
        "concurrency": "2",
    },
}
# queue: concurrency, time limit, soft shutdown, grace, visibility timeout, priority
TIMES = {
    "default": (4, 600, None, 660, 1800, "standard"),
    "paper": (4, 3600, None, 3700, 5400, "latency"),
    "terraform": (1, 7200, None, 7500, 10800, "standard"),
    "ingestion": (4, 25200, 600, 900, 28800, "standard"),
    "workflows": (4, 1800, None, 1900, 3600, "standard"),
    "backtest": (2, 7200, None, 7300, 9000, "batch"),
    "training": (1, 43200, 1800, 2100, 50400, "batch"),
    "ml": (2, 3600, None, 3700, 5400, "batch"),
    "agents": (2, 1800, None, 1900, 3600, "standard"),
    "factors": (2, 3600, None, 3700, 5400, "batch"),
    "rag": (2, 3600, None, 3700, 5400, "batch"),
}
EVERYWHERE = [(stack, layout) for stack in STACKS for layout in LAYOUTS]


def fleet_pods(stack: str, layout: str) -> dict[str, Mapping[str, Any]]:
    """Workers and beat."""
    found = program(stack, layout)
    return {**found.workers(), "alphaswarm-beat": found.manifest("Deployment", "alphaswarm-beat")}


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_a_worker_gets_exactly_its_images_profile(stack: str, layout: str) -> None:
    for name, deployment in program(stack, layout).workers().items():
        profile = PROFILES["-".join(name.split("-")[:2])]
        resources = container(deployment)["resources"]
        for side in ("requests", "limits"):
            got = {key: value for key, value in resources[side].items() if key in ("cpu", "memory")}
            assert got == profile[side], f"{name} in {stack}"
        assert {mount["mountPath"] for mount in container(deployment)["volumeMounts"]} == profile["directories"]


@pytest.mark.parametrize("stack", STACKS)
def test_only_training_takes_a_gpu_and_only_where_there_are_some(stack: str) -> None:
    expected = {"training"} if stack in ("staging", "prod") else set()
    takers = set()
    for deployment in program(stack).workers().values():
        resources = container(deployment)["resources"]
        pod = deployment["spec"]["template"]["spec"]
        if "nvidia.com/gpu" in resources["requests"]:
            takers |= set(queues_of(deployment))
            assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
            assert pod["nodeSelector"] == {"alphaswarm.io/nodes": "gpu"}
            assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
            assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0, "no spare GPU for a second pod"
        else:
            assert not pod.keys() & {"nodeSelector", "tolerations"}, "a CPU task would take a place on a GPU node"
    assert takers == expected


@pytest.mark.parametrize("stack", STACKS)
def test_each_queue_has_the_times_of_the_table(stack: str) -> None:
    found = {}
    for deployment in program(stack).workers().values():
        (queue,) = queues_of(deployment)
        variables, pod = env(deployment), deployment["spec"]["template"]["spec"]
        soft = variables.get("ALPHASWARM_SOFT_SHUTDOWN")
        found[queue] = (
            int(variables["ALPHASWARM_CONCURRENCY"]),
            int(variables["ALPHASWARM_TIME_LIMIT"]),
            int(soft) if soft else None,
            pod["terminationGracePeriodSeconds"],
            int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]),
            pod["priorityClassName"].removeprefix("alphaswarm-"),
        )
    assert found == TIMES


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_a_pod_is_given_longer_to_stop_than_a_task_may_still_run(stack: str, layout: str) -> None:
    for name, deployment in program(stack, layout).workers().items():
        variables, pod = env(deployment), deployment["spec"]["template"]["spec"]
        longest = int(variables.get("ALPHASWARM_SOFT_SHUTDOWN", variables["ALPHASWARM_TIME_LIMIT"]))
        assert pod["terminationGracePeriodSeconds"] > longest, f"{name}: a rollout kills a task within its limit"
        assert int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]) > pod["terminationGracePeriodSeconds"]
        for queue in queues_of(deployment):
            assert TIMES[queue][1] <= int(variables["ALPHASWARM_TIME_LIMIT"]), f"{queue} is cut short in {name}"
            assert TIMES[queue][4] <= int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]), f"{queue} runs twice in {name}"


@pytest.mark.parametrize("stack", STACKS)
def test_a_pod_of_many_queues_requeues_only_after_those_that_must_finish_have(stack: str) -> None:
    worker, executor = (
        env(program(stack, "per-image").manifest("Deployment", f"alphaswarm-{image}"))
        for image in ("worker", "executor")
    )
    assert worker["ALPHASWARM_SOFT_SHUTDOWN"] == "7200", "a terraform run would be interrupted"
    assert executor["ALPHASWARM_SOFT_SHUTDOWN"] == "7200", "a backtest would be interrupted"
    assert (worker["ALPHASWARM_CONCURRENCY"], executor["ALPHASWARM_CONCURRENCY"]) == ("4", "2")


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_every_pod_is_nonroot_on_a_read_only_root_without_privileges(stack: str, layout: str) -> None:
    for name, deployment in fleet_pods(stack, layout).items():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (65532, 65532, 65532)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }, name
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "a Service named redis would put REDIS_… beside the credentials"
        assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in only["volumeMounts"]}
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"]), "one pod could fill the node's disk"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_every_pod_spreads_over_zones_and_nodes_and_only_counts_its_own_kind(stack: str, layout: str) -> None:
    for name, deployment in fleet_pods(stack, layout).items():
        pod = deployment["spec"]["template"]
        spread = {one["topologyKey"]: one for one in pod["spec"]["topologySpreadConstraints"]}
        assert set(spread) == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        own = {"app.kubernetes.io/instance": name}
        assert all(one["labelSelector"]["matchLabels"] == own for one in spread.values())
        assert deployment["spec"]["selector"]["matchLabels"] == own, "two Deployments would fight over pods"
        assert own.items() <= pod["metadata"]["labels"].items(), "the API server refuses such a Deployment"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_every_pod_has_a_priority_that_exists_and_probes_that_ask_a_file(stack: str, layout: str) -> None:
    found = program(stack, layout)
    classes = {name: one["value"] for name, one in found.manifests("PriorityClass").items()}
    assert classes == {"alphaswarm-latency": 100000, "alphaswarm-standard": 10000, "alphaswarm-batch": 1000}
    for name, deployment in fleet_pods(stack, layout).items():
        assert deployment["spec"]["template"]["spec"]["priorityClassName"] in classes, f"{name} would not be admitted"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            command = container(deployment)[probe]["exec"]["command"]
            assert command[:4] == ["python", "-m", "alphaswarm_runtime", "probe"], "`celery inspect ping` costs 560 ms"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_no_deployment_sets_replicas_where_an_autoscaler_owns_them(stack: str, layout: str) -> None:
    setting = {
        name for name, one in program(stack, layout).manifests("Deployment").items() if "replicas" in one["spec"]
    }
    assert setting == {"alphaswarm-beat"} | ({"redis"} if stack == "local" else set())


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_every_worker_has_a_budget_that_selects_it_and_spares_runs(stack: str, layout: str) -> None:
    found = program(stack, layout)
    budgets = found.manifests("PodDisruptionBudget")
    assert set(budgets) == set(found.workers())
    for name, deployment in found.workers().items():
        budget = budgets[name]["spec"]
        assert budget["selector"] == deployment["spec"]["selector"]
        # A pod of many queues is always there: sparing it would keep every node from ever being drained.
        spared = set(queues_of(deployment)) in ({"terraform"}, {"training"})
        assert budget["maxUnavailable"] == (0 if spared else 1), f"{name}: a node drain would end a run"
        policy = "IfHealthyBudget" if spared else "AlwaysAllow"
        assert budget["unhealthyPodEvictionPolicy"] == policy, f"{name}: an outage of Redis would let a drain end a run"
        annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
        assert (annotations.get("karpenter.sh/do-not-disrupt") == "true") is spared
        assert (annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict") == "false") is spared


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_everything_carries_the_labels_of_the_bill(stack: str, layout: str) -> None:
    found = program(stack, layout)
    cost_center = {"local": "none", "dev": "research-4711", "staging": "research-4711", "prod": "trading-0815"}[stack]
    swept = 0
    for (kind, name), one in found.kubernetes().items():
        labels = [one.inputs["metadata"]["labels"]]
        if kind == "Deployment":
            labels.append(one.inputs["spec"]["template"]["metadata"]["labels"])
        for carried in labels:
            assert carried.keys() >= {"project", "cost_center", "owner", "data_classification"}, f"{kind} {name}"
            assert carried["cost_center"] == cost_center
            swept += 1
    assert swept >= 19, "the sweep has lost objects"


def test_metrics_open_the_port_to_prometheus_alone_and_tracing_names_the_pod() -> None:
    found = program("prod")
    for name, deployment in fleet_pods("prod", "per-queue").items():
        assert container(deployment)["ports"] == [{"name": "metrics", "containerPort": 9100, "protocol": "TCP"}]
        assert env(deployment)["OTEL_SERVICE_NAME"] == name
        assert env(deployment)["OTEL_TRACES_SAMPLER_ARG"] == "0.05"
    (rule,) = found.manifest("NetworkPolicy", "metrics-ingress")["spec"]["ingress"]
    (source,) = rule["from"]
    assert source == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert "metrics-ingress" not in program("dev").manifests("NetworkPolicy")


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_only_a_cluster_without_nodes_is_not_waited_for(stack: str, layout: str) -> None:
    for deployment in program(stack, layout).manifests("Deployment").values():
        annotations = deployment["metadata"].get("annotations", {})
        assert (annotations.get("pulumi.com/skipAwait") == "true") is (stack == "local")
