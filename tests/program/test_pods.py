"""What each pod may take, who it is, and how long it gets: held against the rows and the stacks' files."""

from collections.abc import Mapping
from typing import Any

import pytest

from queues import IMAGES, QUEUES, ScaleDown
from tests.program.expected import expected
from tests.program.harness import (
    LAYOUTS,
    STACKS,
    configuration,
    container,
    env,
    program,
    queues_of,
    run,
    secrets_of,
)

EVERYWHERE = [(stack, layout) for stack in STACKS for layout in LAYOUTS]


def fleet_pods(stack: str, layout: str) -> dict[str, Mapping[str, Any]]:
    """Workers and beat."""
    found = program(stack, layout)
    return {**found.workers(), "alphaswarm-beat": found.manifest("Deployment", "alphaswarm-beat")}


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_a_worker_gets_exactly_its_images_profile_or_what_the_stack_says(stack: str, layout: str) -> None:
    tuned = configuration(stack).get("pods", {})
    assert (stack == "local") is bool(tuned), "another stack than the laptop's has pods of another size"
    for name, deployment in program(stack, layout).workers().items():
        (image,) = (image for image in IMAGES if f"/{image.name}@" in container(deployment)["image"])
        resources = container(deployment)["resources"]
        for side, amounts in (("requests", image.requests), ("limits", image.limits)):
            got = {key: value for key, value in resources[side].items() if key in ("cpu", "memory")}
            own = tuned.get(image.target, {}).get("resources", {}).get(side, {})
            said = {key: value for key, value in own.items() if key in ("cpu", "memory")}
            assert got == {"cpu": amounts.cpu, "memory": amounts.memory, **said}, f"{name} in {stack}"
        mounted = {mount["mountPath"] for mount in container(deployment)["volumeMounts"]}
        assert mounted == {"/tmp", "/dev/shm", "/app/cache", *image.directories}  # noqa: S108 inside the container


@pytest.mark.parametrize("stack", STACKS)
def test_only_a_queue_that_wants_gpus_takes_some_and_only_where_there_are_some(stack: str) -> None:
    wanted = {queue.name for queue in QUEUES.queues if queue.gpus and "gpu" in configuration(stack)}
    takers = set()
    for deployment in program(stack).workers().values():
        resources = container(deployment)["resources"]
        pod = deployment["spec"]["template"]["spec"]
        if "nvidia.com/gpu" in resources["requests"]:
            (queue,) = queues_of(deployment)
            takers.add(queue)
            for side in ("requests", "limits"):
                assert resources[side]["nvidia.com/gpu"] == str(QUEUES.queue(queue).gpus)
            assert pod["nodeSelector"] == {"alphaswarm.io/nodes": "gpu"}
            assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
            assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0, "no spare GPU for a second pod"
        else:
            assert not pod.keys() & {"nodeSelector", "tolerations"}, "a CPU task would take a place on a GPU node"
    assert takers == wanted


@pytest.mark.parametrize("stack", STACKS)
def test_each_queue_has_the_times_and_the_priority_of_its_row_and_stack(stack: str) -> None:
    rows = expected(stack)
    for deployment in program(stack).workers().values():
        (queue,) = queues_of(deployment)
        variables, pod, row = env(deployment), deployment["spec"]["template"]["spec"], rows.pop(queue)
        soft = variables.get("ALPHASWARM_SOFT_SHUTDOWN")
        assert int(variables["ALPHASWARM_CONCURRENCY"]) == row.concurrency
        assert int(variables["ALPHASWARM_TIME_LIMIT"]) == row.time_limit
        assert (int(soft) if soft else None) == row.soft_shutdown
        assert int(variables["ALPHASWARM_GRACE_PERIOD"]) == row.grace_period
        assert pod["terminationGracePeriodSeconds"] == row.grace_period
        assert int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]) == row.visibility_timeout
        assert pod["priorityClassName"] == f"alphaswarm-{QUEUES.queue(queue).priority.name.lower()}"
    assert not rows, "queues that no Deployment drains"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_a_pod_is_given_longer_to_stop_than_a_task_may_still_run(stack: str, layout: str) -> None:
    rows = expected(stack)
    for name, deployment in program(stack, layout).workers().items():
        variables, pod = env(deployment), deployment["spec"]["template"]["spec"]
        longest = int(variables.get("ALPHASWARM_SOFT_SHUTDOWN", variables["ALPHASWARM_TIME_LIMIT"]))
        assert pod["terminationGracePeriodSeconds"] > longest, f"{name}: a rollout kills a task within its limit"
        assert int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]) > pod["terminationGracePeriodSeconds"]
        for queue in queues_of(deployment):
            assert rows[queue].time_limit <= int(variables["ALPHASWARM_TIME_LIMIT"]), f"{queue} is cut short in {name}"
            timeout = int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"])
            assert rows[queue].visibility_timeout <= timeout, f"{queue} runs twice in {name}"


@pytest.mark.parametrize("stack", STACKS)
def test_a_pod_of_many_queues_requeues_only_after_those_that_must_finish_have(stack: str) -> None:
    rows = expected(stack)
    for image in IMAGES:
        deployment = program(stack, "per-image").manifest("Deployment", image.name)
        own = [rows[queue] for queue in queues_of(deployment)]
        soft = env(deployment).get("ALPHASWARM_SOFT_SHUTDOWN")
        if all(row.soft_shutdown is None for row in own):
            assert soft is None, "it would re-queue a run that does not resume"
        else:
            must_finish = [row.time_limit for row in own if row.soft_shutdown is None]
            assert soft is not None
            assert int(soft) == max(*must_finish, *(row.soft_shutdown or 0 for row in own)), (
                "a run would be interrupted"
            )
        assert env(deployment)["ALPHASWARM_CONCURRENCY"] == str(image.concurrency)


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
        directories = [volume["emptyDir"] for volume in pod["volumes"] if "projected" not in volume]
        assert all(directory["sizeLimit"] for directory in directories), "one pod could fill the node's disk"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_only_beat_has_access_to_the_api_and_may_list_and_patch_pods(stack: str, layout: str) -> None:
    found = program(stack, layout)
    with_token = {
        name
        for name, deployment in found.manifests("Deployment").items()
        for volume in deployment["spec"]["template"]["spec"].get("volumes", ())
        if "projected" in volume
    }
    assert with_token == {"alphaswarm-beat"}
    (rule,) = found.manifest("Role", "alphaswarm-beat")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]}
    (subject,) = found.manifest("RoleBinding", "alphaswarm-beat")["subjects"]
    beat = found.manifest("Deployment", "alphaswarm-beat")
    assert subject["name"] == beat["spec"]["template"]["spec"]["serviceAccountName"]
    (mount,) = (mount for mount in container(beat)["volumeMounts"] if mount["name"] == "api-access")
    assert env(beat)["ALPHASWARM_API_ACCESS"] == mount["mountPath"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stack_can_do_without_access_to_the_api(layout: str) -> None:
    found = run(configuration("dev", layout=layout, markBusyPods=False), secrets_of("dev"), stack="dev")
    beat = found.manifest("Deployment", "alphaswarm-beat")
    assert not found.manifests("Role")
    assert not found.manifests("RoleBinding")
    assert "beat-egress" not in found.manifests("NetworkPolicy")
    assert "ALPHASWARM_API_ACCESS" not in env(beat)
    assert all("projected" not in volume for volume in beat["spec"]["template"]["spec"]["volumes"])


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
def test_no_update_sets_replicas_where_an_autoscaler_owns_them(stack: str, layout: str) -> None:
    found = program(stack, layout)
    setting = {name: one["spec"].get("replicas") for name, one in found.manifests("Deployment").items()}
    own = {"alphaswarm-beat": 1, **({"redis": 1} if stack == "local" else {})}
    assert {name: setting.pop(name) for name in own} == own
    for name, replicas in setting.items():
        ignored = found.kubernetes()["Deployment", name].ignored
        assert (replicas is None) or "spec.replicas" in ignored, f"{name}: each update would fight its scaler"


@pytest.mark.parametrize("stack", STACKS)
def test_a_new_queue_begins_at_its_least_pods_and_not_on_a_gpu_node(stack: str) -> None:
    found = program(stack)
    least = {name: one["spec"]["minReplicaCount"] for name, one in found.manifests("ScaledObject").items()}
    assert {name: one["spec"]["replicas"] for name, one in found.workers().items()} == least
    assert 0 in least.values()


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_every_worker_has_a_budget_that_selects_it_and_spares_runs(stack: str, layout: str) -> None:
    found = program(stack, layout)
    budgets = found.manifests("PodDisruptionBudget")
    assert set(budgets) == set(found.workers())
    for name, deployment in found.workers().items():
        budget = budgets[name]["spec"]
        assert budget["selector"] == deployment["spec"]["selector"]
        # A pod of many queues is always there: sparing it would keep every node from ever being drained.
        spared = layout == "per-queue" and any(
            QUEUES.queue(queue).scale_down is ScaleDown.DISABLED and expected(stack)[queue].minimum == 0
            for queue in queues_of(deployment)
        )
        assert budget["maxUnavailable"] == (0 if spared else 1), f"{name}: a node drain would end a run"
        policy = "IfHealthyBudget" if spared else "AlwaysAllow"
        assert budget["unhealthyPodEvictionPolicy"] == policy, f"{name}: an outage of Redis would let a drain end a run"


@pytest.mark.parametrize(("stack", "layout"), EVERYWHERE)
def test_node_autoscalers_leave_long_tasks_alone_where_pods_come_and_go(stack: str, layout: str) -> None:
    for name, deployment in program(stack, layout).workers().items():
        rows = [expected(stack)[queue] for queue in queues_of(deployment)]
        longer_than_an_eviction = any(row.time_limit > 15 * 60 for row in rows)
        spared = layout == "per-queue" and rows[0].minimum == 0 and longer_than_an_eviction
        annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
        assert (annotations.get("karpenter.sh/do-not-disrupt") == "true") is spared, name
        assert (annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict") == "false") is spared, name


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
