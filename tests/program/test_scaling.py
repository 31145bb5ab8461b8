"""Scaling that loses no task: every scaler's formula, triggers and bounds, as literals of the design."""

import pytest

from tests.program.harness import STACKS, configuration, program, queues_of, run, secrets_of

# queue: min, max, tasks per pod, polling, cooldown; None where there is always a pod
TABLE = {
    "default": (0, 10, 4, 15, 300),
    "paper": (2, 6, 4, None, None),
    "terraform": (0, 3, 1, 15, 300),
    "ingestion": (1, 6, 4, None, None),
    "workflows": (0, 6, 4, 15, 300),
    "backtest": (0, 20, 2, 15, 300),
    "training": (0, 1, 1, 30, 600),
    "ml": (0, 8, 2, 15, 300),
    "agents": (0, 12, 2, 5, 300),
    "factors": (0, 8, 2, 15, 300),
    "rag": (0, 6, 2, 15, 300),
}
CHANGES: dict[str, dict[str, tuple[int, int, int, int | None, int | None]]] = {
    "local": {},
    "dev": {"backtest": (0, 4, 2, 15, 300), "agents": (0, 4, 2, 5, 300)},
    "staging": {"backtest": (0, 8, 2, 15, 300)},
    "prod": {"default": (1, 10, 4, None, None), "training": (0, 4, 1, 30, 600)},
}
UP = {
    "tolerance": "0",
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Percent", "value": 1000, "periodSeconds": 15}],
}


@pytest.mark.parametrize("stack", STACKS)
def test_every_scaler_has_the_bounds_and_the_pace_of_the_table(stack: str) -> None:
    found = {}
    for scaler in program(stack).manifests("ScaledObject").values():
        spec = scaler["spec"]
        modifiers = spec["advanced"]["scalingModifiers"]
        queue = spec["scaleTargetRef"]["name"].split("-", 2)[2]
        found[queue] = (
            spec["minReplicaCount"],
            spec["maxReplicaCount"],
            int(modifiers["target"]),
            spec.get("pollingInterval"),
            spec.get("cooldownPeriod"),
        )
    assert found == {**TABLE, **CHANGES[stack]}


@pytest.mark.parametrize("stack", STACKS)
def test_demand_is_waiting_plus_running_tasks(stack: str) -> None:
    scalers = program(stack).manifests("ScaledObject")
    for name, scaler in scalers.items():
        queue = name.split("-", 2)[2]
        modifiers = scaler["spec"]["advanced"]["scalingModifiers"]
        assert modifiers["formula"] == "waiting + running", f"{queue}: pods are removed under running tasks"
        assert modifiers["metricType"] == "AverageValue"
        triggers = {one["name"]: one for one in scaler["spec"]["triggers"]}
        assert set(triggers) == {"waiting", "running"}
        assert triggers["waiting"]["metadata"]["listName"] == queue
        assert triggers["running"]["metadata"]["listName"] == f"unacked:{queue}"
        assert all(one["type"] == "redis" for one in triggers.values())
    assert {name.split("-", 2)[2] for name in scalers} == set(TABLE)


@pytest.mark.parametrize("stack", STACKS)
def test_every_trigger_reaches_the_broker_with_the_password_by_reference(stack: str) -> None:
    found = program(stack)
    authentication = found.manifest("TriggerAuthentication", "alphaswarm-broker")["spec"]["secretTargetRef"]
    secret = "alphaswarm-broker" if stack == "local" else "alphaswarm-redis"
    assert authentication == [{"parameter": "password", "name": secret, "key": "password"}]
    host = "redis.alphaswarm.svc.cluster.local" if stack == "local" else f"redis.{stack}.alphaswarm.example"
    for scaler in found.manifests("ScaledObject").values():
        for trigger in scaler["spec"]["triggers"]:
            assert trigger["authenticationRef"] == {"name": "alphaswarm-broker"}
            assert trigger["metadata"]["address"] == f"{host}:6379", "KEDA takes host:port, no URL"
            assert trigger["metadata"]["enableTLS"] == ("false" if stack == "local" else "true")
            assert trigger["metadata"]["databaseIndex"] == "0"
            assert trigger["metadata"].get("username") == ("alphaswarm" if stack in ("staging", "prod") else None)


@pytest.mark.parametrize("stack", STACKS)
def test_no_scaler_hides_an_outage_or_asks_for_what_admission_warns_of(stack: str) -> None:
    for name, scaler in program(stack).manifests("ScaledObject").items():
        spec = scaler["spec"]
        assert "fallback" not in spec, f"{name}: Ready would stay true while Redis is down"
        if spec["minReplicaCount"] >= 1:
            assert not spec.keys() & {"pollingInterval", "cooldownPeriod", "idleReplicaCount"}


@pytest.mark.parametrize("stack", STACKS)
def test_demand_is_met_to_the_task_and_runs_are_never_scaled_in(stack: str) -> None:
    disabled = set()
    for name, scaler in program(stack).manifests("ScaledObject").items():
        behavior = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleUp"] == UP
        assert behavior["scaleDown"]["tolerance"] == "0"
        if behavior["scaleDown"].get("selectPolicy") == "Disabled":
            disabled.add(name.split("-", 2)[2])
    assert disabled == {"terraform", "training"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_scales_one_way_and_never_both(stack: str) -> None:
    per_queue, per_image = program(stack, "per-queue"), program(stack, "per-image")
    assert per_queue.manifests("ScaledObject")
    assert not per_queue.manifests("HorizontalPodAutoscaler"), "admission refuses a scaler beside an HPA"
    assert len(per_image.manifests("HorizontalPodAutoscaler")) == 2
    assert not per_image.manifests("ScaledObject")
    assert not per_image.manifests("TriggerAuthentication")


@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_every_scaler_targets_a_deployment_that_must_stand_before_it(layout: str) -> None:
    found = program("prod", layout)
    kind = {"per-queue": "ScaledObject", "per-image": "HorizontalPodAutoscaler"}[layout]
    for name in found.manifests(kind):
        scaler = found.kubernetes()[kind, name]
        target = found.kubernetes()["Deployment", scaler.inputs["spec"]["scaleTargetRef"]["name"]]
        assert target.urn in found.waits_for(scaler), "KEDA marks a scaler without a target as failed"


@pytest.mark.parametrize("stack", STACKS)
def test_an_images_autoscaler_never_ends_a_run_and_never_goes_to_zero(stack: str) -> None:
    found = program(stack, "per-image").manifests("HorizontalPodAutoscaler")
    bounds = {name: (one["spec"]["minReplicas"], one["spec"]["maxReplicas"]) for name, one in found.items()}
    most = {"local": 20, "dev": 8, "staging": 1, "prod": 4}[stack]  # each executor pod may train, so it takes a GPU
    assert bounds == {"alphaswarm-worker": (2, 10), "alphaswarm-executor": (1, most)}
    for name, one in found.items():
        assert one["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert one["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"


def test_tuned_concurrency_moves_target_and_worker_together() -> None:
    found = run(configuration("dev", scaling={"rag": {"concurrency": 7}}), secrets_of("dev"))
    scaler = found.manifest("ScaledObject", "alphaswarm-executor-rag")["spec"]["advanced"]["scalingModifiers"]
    worker = found.workers()["alphaswarm-executor-rag"]
    assert scaler["target"] == "7"
    assert queues_of(worker) == ["rag"]
    assert {"name": "ALPHASWARM_CONCURRENCY", "value": "7"} in worker["spec"]["template"]["spec"]["containers"][0][
        "env"
    ]
