"""How a stack's resources hang together: parents, outputs, names, order."""

from collections import Counter

import pytest

from queues import QUEUES
from tests.program.harness import LAYOUTS, PROJECT, STACKS, Program, configuration, program, run, secrets_of

EVERYWHERE = [(stack, layout, preview) for stack in STACKS for layout in LAYOUTS for preview in (True, False)]
FLEET = "alphaswarm:fleet:"
EACH = len(QUEUES.queues)  # a worker a queue
COMPONENTS = {
    ("local", "per-queue"): 10 + EACH, ("local", "per-image"): 12,
    ("dev", "per-queue"): 12 + EACH, ("dev", "per-image"): 14,
    ("staging", "per-queue"): 7 + EACH, ("staging", "per-image"): 9,
    ("prod", "per-queue"): 7 + EACH, ("prod", "per-image"): 9,
}  # fmt: skip


@pytest.mark.parametrize(("stack", "layout", "preview"), EVERYWHERE)
def test_every_component_registers_outputs(stack: str, layout: str, preview: bool) -> None:
    found = program(stack, layout, preview=preview)
    components = [one.urn for one in found.registrations if one.type.startswith(FLEET)]
    silent = [urn for urn in components if urn not in found.outputs_by_urn]
    assert not silent, "the engine waits for their outputs for ever"
    assert len(components) == COMPONENTS[stack, layout]


@pytest.mark.parametrize(("stack", "layout", "preview"), EVERYWHERE)
def test_every_resource_hangs_below_the_fleet(stack: str, layout: str, preview: bool) -> None:
    found = program(stack, layout, preview=preview)
    parents = {one.urn: one for one in found.registrations}
    root = f"urn:pulumi:{stack}::{PROJECT}::pulumi:pulumi:Stack::{PROJECT}-{stack}"
    for one in found.registrations:
        if one.type.startswith("pulumi:providers:") or one.type == f"{FLEET}Fleet":
            assert one.parent == root
        else:
            assert parents[one.parent].type.startswith(FLEET), f"{one.urn} hangs on nothing"
        assert one.custom is not one.type.startswith(FLEET)


@pytest.mark.parametrize(("stack", "layout", "preview"), EVERYWHERE)
def test_logical_names_are_told_apart_by_type(stack: str, layout: str, preview: bool) -> None:
    found = program(stack, layout, preview=preview)
    twice = [pair for pair, count in Counter((one.type, one.name) for one in found.registrations).items() if count > 1]
    assert not twice
    objects = [one for one in found.registrations if one.type.startswith("kubernetes:")]
    assert len(found.kubernetes()) == len(objects), "two registrations fight over one object"
    for one in objects:
        assert "namespace" in one.inputs["metadata"] or one.inputs["kind"] in ("Namespace", "PriorityClass")
        assert not one.inputs["metadata"]["name"].endswith("-"), "a generated name changes with each replacement"


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_preview_and_an_update_register_the_same(stack: str, layout: str) -> None:
    before, after = (program(stack, layout, preview=preview) for preview in (True, False))
    assert {one.urn for one in before.registrations} == {one.urn for one in after.registrations}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pods_wait_for_what_they_need(stack: str, layout: str) -> None:
    found = program(stack, layout)
    objects = found.kubernetes()
    kinds = {"Namespace", "ServiceAccount", "PriorityClass", "NetworkPolicy", "ResourceQuota", "Secret"}
    needed = {one.urn for (kind, _), one in objects.items() if kind in {*kinds, "TriggerAuthentication"}}
    assert len(needed) >= 9
    for name in (*found.workers(), "alphaswarm-beat"):
        missing = needed - found.waits_for(objects["Deployment", name])
        assert not missing, f"{name}: pods would be refused, or start without their password"
    (namespace,) = [one for (kind, _), one in objects.items() if kind == "Namespace"]
    for (kind, name), one in objects.items():
        if "namespace" in one.inputs["metadata"]:
            assert namespace.urn in found.waits_for(one), f"{kind} {name} does not wait for its namespace"


@pytest.mark.parametrize("stack", STACKS)
def test_a_scaler_that_the_state_has_below_a_component_of_its_own_is_kept(stack: str) -> None:
    """Until it was moved it hung below a QueueScaler; without the alias an update would delete and make it anew."""
    scalers = [one for (kind, _), one in program(stack, "per-queue").kubernetes().items() if kind == "ScaledObject"]
    assert len(scalers) == len(QUEUES.queues)
    for one in scalers:
        before = f"{FLEET}Fleet${FLEET}QueueWorker${FLEET}QueueScaler${one.type}::{one.name}"
        assert one.aliases == {f"urn:pulumi:{stack}::{PROJECT}::{before}"}


def objects_in(found: Program) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of every object."""
    return {
        (kind, str(one.inputs["metadata"].get("namespace", "")), name)
        for (kind, name), one in found.kubernetes().items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_stacks_in_two_namespaces_share_no_object_of_a_cluster(layout: str) -> None:
    one, other = (
        run(configuration("local", namespace=namespace, layout=layout), secrets_of("local"))
        for namespace in ("blue", "green")
    )
    assert not objects_in(one) & objects_in(other)
    assert len(objects_in(one)) == len(objects_in(other))
    assert "redis.blue.svc.cluster.local" in str(one.exports["brokerAddress"])
    assert not [name for name in one.manifests("PriorityClass") if not name.startswith("blue-")]


def test_nothing_leaves_the_namespace_but_what_is_named() -> None:
    policies = program("prod").manifests("NetworkPolicy")
    deny = policies["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    egress = policies["workers-egress"]["spec"]["egress"]
    everywhere = [rule for rule in egress if "ipBlock" in str(rule) and "0.0.0.0/0" in str(rule)]
    for rule in everywhere:
        spared = [block["ipBlock"]["except"] for block in rule["to"]]
        assert spared == [["169.254.0.0/16"], ["fd00:ec2::254/128"]], "a task could be the node"
        assert [port["port"] for port in rule["ports"]] == [443]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 443, 4317, 5432, 6379}


def test_the_namespace_admits_only_restricted_pods_and_bounds_what_they_take() -> None:
    for stack in STACKS:
        found = program(stack)
        labels = found.manifest("Namespace", "alphaswarm")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        hard = found.manifest("ResourceQuota", "alphaswarm")["spec"]["hard"]
        most = sum(one["spec"]["maxReplicaCount"] for one in found.manifests("ScaledObject").values())
        assert int(hard["pods"]) >= most, f"{stack}: the scalers ask for more pods than the quota admits"
        gpus = {"staging": "2", "prod": "8"}.get(stack)  # a pod in its grace holds one while the next is admitted
        assert hard.get("requests.nvidia.com/gpu") == gpus
