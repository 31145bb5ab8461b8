"""The pure functions: plain data out, nothing shared, and every number from where it belongs."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from config.loading import parse
from config.quantities import mebibytes, milli_cpu
from config.schema import Settings
from manifests.foundation import resource_quota
from manifests.scaling import behavior
from queues import QUEUES, ScaleDown
from tests.program.harness import LAYOUTS, STACKS, built_images, configuration, secrets_of, written_objects


def settings(stack: str, **changes: Any) -> Settings:  # noqa: ANN401 any configuration
    """A stack's settings, changed."""
    return parse(configuration(stack, **changes), frozenset(secrets_of(stack)))


def rows() -> list[tuple[str, str]]:
    """Every stack and layout."""
    return [(stack, layout) for stack in STACKS for layout in LAYOUTS]


@pytest.mark.parametrize(("stack", "layout"), rows())
def test_every_object_is_complete_and_named_once(stack: str, layout: str) -> None:
    objects = written_objects(settings(stack, layout=layout), built_images())
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names) > 15
    assert all(one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "alphaswarm" for one in objects)
    assert "Secret" not in {one["kind"] for one in objects}


@pytest.mark.parametrize(("stack", "layout"), rows())
def test_changing_one_object_changes_no_other(stack: str, layout: str) -> None:
    objects = written_objects(settings(stack, layout=layout), built_images())
    before = copy.deepcopy(objects)
    for place, one in enumerate(objects):
        scar(one)
        assert objects[place + 1 :] == before[place + 1 :], f"{one['kind']} shares a part with a later object"


def scar(value: Any) -> None:  # noqa: ANN401 any plain data
    """Change every mapping and list in `value`, in place."""
    if isinstance(value, Mapping):
        for item in list(value.values()):
            scar(item)
        if isinstance(value, dict):
            value["scar"] = True
    elif isinstance(value, list):
        for item in value:
            scar(item)
        value.append("scar")


@pytest.mark.parametrize(("stack", "layout"), rows())
def test_the_same_settings_give_the_same_objects(stack: str, layout: str) -> None:
    chosen = settings(stack, layout=layout)
    assert written_objects(chosen, built_images()) == written_objects(chosen, built_images())


def test_the_quota_holds_the_whole_catalogue_at_its_most_twice() -> None:
    hard = resource_quota(settings("dev", scaling={}))["spec"]["hard"]
    worker, executor = (sum(queue.max_replicas for queue in QUEUES.queues if queue.image.target == target)
                        for target in ("worker", "executor"))  # fmt: skip
    assert hard["pods"] == str(2 * (worker + executor + 2))  # beat and the in-cluster broker
    assert hard["limits.cpu"] == str(2 * (worker * 4 + executor * 8) + 3)
    assert hard["limits.memory"] == f"{2 * (worker * 8 + executor * 16) + 3}Gi"
    assert int(hard["requests.cpu"]) >= 2 * (worker * 0.5 + executor)
    assert hard["requests.memory"] == f"{2 * (worker + executor * 4) + 1}Gi"


@pytest.mark.parametrize(("quantity", "milli"), [("500m", 500), ("4", 4000), ("100m", 100), ("1", 1000)])
def test_processor_quantities_are_read_as_kubernetes_does(quantity: str, milli: int) -> None:
    assert milli_cpu(quantity) == milli


@pytest.mark.parametrize(("quantity", "mib"), [("1Gi", 1024), ("256Mi", 256), ("16Gi", 16384)])
def test_memory_quantities_are_read_as_kubernetes_does(quantity: str, mib: int) -> None:
    assert mebibytes(quantity) == mib


def test_a_unit_nobody_uses_is_refused_and_not_guessed() -> None:
    with pytest.raises(KeyError):
        mebibytes("1Pi")


def test_only_a_spared_queue_is_never_scaled_in() -> None:
    assert behavior(ScaleDown.DISABLED)["scaleDown"]["selectPolicy"] == "Disabled"
    assert behavior(ScaleDown.ALLOWED)["scaleDown"] == {"tolerance": "0", "stabilizationWindowSeconds": 300}


def test_a_broker_on_another_port_is_reached_by_workers_scaler_and_network_rule() -> None:
    broker = {
        "kind": "external",
        "host": "r.example.com",
        "port": 6390,
        "tls": True,
        "existingSecret": "s",
        "database": 3,
    }
    objects = written_objects(settings("dev", broker=broker), built_images())
    found = str([one for one in objects if one["kind"] == "NetworkPolicy"])
    assert "6390" in found
    for one in objects:
        if one["kind"] == "ScaledObject":
            assert {each["metadata"]["address"] for each in one["spec"]["triggers"]} == {"r.example.com:6390"}
            assert {each["metadata"]["databaseIndex"] for each in one["spec"]["triggers"]} == {"3"}
        if one["kind"] == "Deployment":
            variables = {
                each["name"]: each.get("value") for each in one["spec"]["template"]["spec"]["containers"][0]["env"]
            }
            assert (variables["ALPHASWARM_BROKER_PORT"], variables["ALPHASWARM_BROKER_DB"]) == ("6390", "3")
            assert variables["ALPHASWARM_BROKER_TLS"] == "true"
