"""Scaling that loses no task: every scaler's formula, triggers and bounds, held against rows and stacks' files."""

import json
from collections.abc import Iterator

import pytest

from queues import HEAVY_QUEUES, QUEUES, Queue, ScaleDown
from tests.own_rows import OWN_ROWS, catalogue
from tests.program.expected import expected
from tests.program.harness import (
    STACKS,
    Program,
    configuration,
    container,
    env,
    program,
    queue_of,
    queues_of,
    run,
    secrets_of,
)

NEVER_SCALED_IN = {queue.name for queue in QUEUES.queues if queue.scale_down is ScaleDown.DISABLED}
UP = {
    "tolerance": "0",
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Percent", "value": 1000, "periodSeconds": 15}],
}


@pytest.mark.parametrize("stack", STACKS)
def test_every_scaler_has_the_bounds_and_the_pace_of_its_row_and_stack(stack: str) -> None:
    found = {}
    for name, scaler in program(stack).manifests("ScaledObject").items():
        spec = scaler["spec"]
        found[queue_of(program(stack), name)] = (
            spec["minReplicaCount"],
            spec["maxReplicaCount"],
            int(spec["advanced"]["scalingModifiers"]["target"]),
            spec.get("pollingInterval"),
            spec.get("cooldownPeriod"),
        )
    assert found == {
        queue: (row.minimum, row.maximum, row.concurrency, row.polling, row.cooldown)
        for queue, row in expected(stack).items()
    }


@pytest.mark.parametrize("stack", STACKS)
def test_demand_is_waiting_plus_running_tasks(stack: str) -> None:
    scaled = set()
    for name, scaler in program(stack).manifests("ScaledObject").items():
        queue = queue_of(program(stack), name)
        modifiers = scaler["spec"]["advanced"]["scalingModifiers"]
        formula = "waiting + waiting3 + waiting6 + waiting9 + running"
        assert modifiers["formula"] == formula, f"{queue}: pods are removed under running tasks"
        assert modifiers["metricType"] == "AverageValue"
        triggers = {one["name"]: one for one in scaler["spec"]["triggers"]}
        assert {name: trigger["metadata"]["listName"] for name, trigger in triggers.items()} == {
            "waiting": queue,
            **{f"waiting{step}": f"{queue}\x06\x16{step}" for step in (3, 6, 9)},
            "running": f"unacked:{{{queue}}}",
        }
        assert all(one["type"] == "redis" for one in triggers.values())
        scaled.add(queue)
    assert scaled == QUEUES.names


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
            disabled.add(queue_of(program(stack), name))
    assert disabled == NEVER_SCALED_IN


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
    rows, gpus = expected(stack), configuration(stack).get("gpu", {}).get("count")
    for image, heavy in (("alphaswarm-worker", False), ("alphaswarm-executor", True)):
        own = {queue: row for queue, row in rows.items() if (queue in HEAVY_QUEUES) is heavy}
        least = max(1, *(row.minimum for row in own.values()))
        most = max(row.maximum for row in own.values())
        each = max(QUEUES.queue(queue).gpus for queue in own)
        if gpus and each:
            most = min(most, gpus // each)  # each pod takes a GPU, whatever it runs
        spec = found[image]["spec"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == (least, max(most, least))
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": image}
        down = spec["behavior"]["scaleDown"]
        assert (down.get("selectPolicy") == "Disabled") is bool(own.keys() & NEVER_SCALED_IN), "a run would be ended"
    assert len(found) == 2


PLAIN = "waiting + waiting3 + waiting6 + waiting9 + running"


@pytest.fixture
def _own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


def scaler_of(queue: Queue, **tuning: object) -> tuple[Program, dict[str, str]]:
    """A program whose stack tunes a queue, and its scaler: the formula, and the key of each trigger."""
    found = run(configuration("dev", scaling={queue.name: tuning}), secrets_of("dev"))
    spec = found.manifest("ScaledObject", queue.deployment)["spec"]
    keys = {one["name"]: one["metadata"]["listName"] for one in spec["triggers"]}
    return found, {"formula": spec["advanced"]["scalingModifiers"]["formula"], **keys}


@pytest.mark.usefixtures("_own_rows")
def test_a_session_is_a_floor_of_the_formula_and_beat_keeps_its_number() -> None:
    queue = OWN_ROWS.queue("awake")
    sessions = {"calendar": "XNYS", "minReplicas": queue.max_replicas, "before": 1800, "after": 60}
    found, scaler = scaler_of(queue, sessions=sessions)
    assert scaler["formula"] == f"max({PLAIN}, sessionPods * {queue.concurrency})", "a session may hide work"
    assert scaler["sessionPods"] == f"floor:{{{queue.name}}}"
    told = json.loads(env(found.manifest("Deployment", "alphaswarm-beat"))["ALPHASWARM_SCALING"])
    assert set(told) == {queue.name}
    assert told[queue.name]["target_wait"] is None
    given = told[queue.name]["sessions"]
    assert (given["name"], given["min_replicas"], given["before"], given["after"]) == (
        "XNYS", queue.max_replicas, 1800, 60,
    )  # fmt: skip
    assert given["calendar"]["timezone"] == "America/New_York"


@pytest.mark.usefixtures("_own_rows")
def test_a_promised_wait_gives_a_task_its_share_of_a_slot_and_never_less_than_runs() -> None:
    queue = OWN_ROWS.queue("usual")
    found, scaler = scaler_of(queue, targetWait=120)
    assert scaler["formula"] == f"max(running, ({PLAIN}) * (share > 0 ? share : 100) / 100)"
    assert scaler["share"] == f"share:{{{queue.name}}}"
    told = json.loads(env(found.manifest("Deployment", "alphaswarm-beat"))["ALPHASWARM_SCALING"])
    assert told == {queue.name: {"target_wait": 120, "sessions": None}}


@pytest.mark.usefixtures("_own_rows")
@pytest.mark.parametrize(("rollouts", "asked"), [({}, True), ({"rollouts": "anytime"}, False)])
def test_an_update_is_asked_before_it_replaces_pods_of_a_queue_with_sessions(
    rollouts: dict[str, str], asked: bool
) -> None:
    queue = OWN_ROWS.queue("awake")
    found, _ = scaler_of(queue, sessions={"calendar": "XNYS", "minReplicas": queue.max_replicas, **rollouts})
    guarded = {one.name for one in found.registrations if one.asked_before_updates}
    assert guarded == ({queue.deployment} if asked else set())


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_without_sessions_and_promises_tells_beat_nothing(stack: str) -> None:
    found = program(stack)
    assert "ALPHASWARM_SCALING" not in env(found.manifest("Deployment", "alphaswarm-beat"))
    assert not any(one.asked_before_updates for one in found.registrations)


def test_tuned_concurrency_moves_target_and_worker_together() -> None:
    queue = next(queue for queue in QUEUES.queues if queue.name not in NEVER_SCALED_IN)
    found = run(configuration("dev", scaling={queue.name: {"concurrency": 77}}), secrets_of("dev"))
    scaler = found.manifest("ScaledObject", queue.deployment)["spec"]["advanced"]["scalingModifiers"]
    worker = found.workers()[queue.deployment]
    assert scaler["target"] == "77"
    assert queues_of(worker) == [queue.name]
    assert {"name": "ALPHASWARM_CONCURRENCY", "value": "77"} in container(worker)["env"]
