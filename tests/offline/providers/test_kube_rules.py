"""What cannot change in an object, and what counts as drift."""

from decimal import Decimal

import pytest

from offline.providers.diff import Diff
from offline.providers.kube_rules import (
    AUTONAMED,
    autonamed,
    diff,
    imported,
    live_inputs,
    not_ready,
    quantity,
    with_ignored,
)
from offline.providers.values import Json, Object


def obj(kind: str, version: str = "apps/v1", name: str = "w", namespace: str = "n", **rest: Json) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def replaced(difference: Diff) -> list[str]:
    return [change.property_path for change in difference.replaces]


@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        (obj("Deployment", spec={"selector": {"a": 1}}), obj("Deployment", spec={"selector": {"a": 2}}), True),
        (obj("Deployment", spec={"template": 1}), obj("Deployment", spec={"template": 2}), False),
        (obj("Deployment"), obj("Deployment", name="other"), True),
        (obj("Deployment"), obj("Deployment", namespace="other"), True),
        (obj("StatefulSet", spec={"serviceName": "a"}), obj("StatefulSet", spec={"serviceName": "b"}), True),
        (obj("StatefulSet", spec={"template": 1}), obj("StatefulSet", spec={"template": 2}), False),
        (obj("StatefulSet", spec={"replicas": 1}), obj("StatefulSet", spec={}), False),
        (obj("Job", spec={"template": 1}), obj("Job", spec={"template": 2}), True),
        (obj("Service", spec={"clusterIP": "a"}), obj("Service", spec={"clusterIP": "b"}), True),
        (obj("Service", spec={"ports": [1]}), obj("Service", spec={"ports": [2]}), False),
        (obj("PriorityClass", value=1), obj("PriorityClass", value=2), True),
        (obj("ConfigMap", data={"a": "1"}), obj("ConfigMap", data={"a": "2"}), True),
        (obj("ScaledObject", spec={"max": 1}), obj("ScaledObject", spec={"max": 2}), False),
    ],
)
def test_only_what_the_server_cannot_change_replaces_the_object(old: Json, new: Json, replaces: bool) -> None:
    difference = diff(old, new, "default")
    assert difference.changes
    assert bool(replaced(difference)) is replaces


def test_a_config_map_changes_in_place_where_the_provider_allows_it_unless_it_is_immutable() -> None:
    old, new = obj("ConfigMap", data={"a": "1"}), obj("ConfigMap", data={"a": "2"})
    assert not replaced(diff(old, new, "default", frozenset({"ConfigMap"})))
    assert replaced(diff({**old, "immutable": True}, {**new, "immutable": True}, "default", frozenset({"ConfigMap"})))


def test_an_object_with_an_explicit_name_makes_way_for_its_replacement() -> None:
    old, new = obj("Job", spec={"template": 1}), obj("Job", spec={"template": 2})
    assert diff(old, new, "default").delete_before_replace, "the new object cannot be created beside the old one"
    moved = obj("Job", name="other", spec={"template": 2})
    assert not diff(old, moved, "default").delete_before_replace


def test_writing_the_default_namespace_down_is_no_change() -> None:
    bare = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    written = {**bare, "metadata": {"name": "s", "namespace": "team"}}
    assert not diff(bare, written, "team").changes
    assert replaced(diff(bare, written, "default")) == ["metadata.namespace"]


def test_a_name_is_made_up_once_and_kept() -> None:
    made = autonamed({"kind": "ConfigMap"}, {}, "cm", b"one")
    assert made["metadata"]["name"].startswith("cm-")
    assert made["metadata"]["annotations"] == {AUTONAMED: "true"}
    assert autonamed({"kind": "ConfigMap"}, made, "cm", b"two")["metadata"] == made["metadata"]
    assert autonamed({"kind": "ConfigMap"}, {}, "cm", b"two")["metadata"]["name"] != made["metadata"]["name"], (
        "a replacement takes the name of the object that is deleted after it"
    )
    assert autonamed(obj("ConfigMap"), {}, "cm", b"one") == obj("ConfigMap")


LIVE = obj(
    "Deployment",
    status={"replicas": 7},
    spec={
        "replicas": 7,
        "progressDeadlineSeconds": 600,
        "template": {
            "containers": [
                {"name": "sidecar", "image": "s:1"},
                {"name": "c", "image": "x:1", "imagePullPolicy": "IfNotPresent", "env": [{"name": "E"}]},
            ],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "volume": {"emptyDir": {"sizeLimit": "1Gi"}},
        },
    },
)
INPUTS = obj(
    "Deployment",
    spec={
        "egress": [],
        "template": {
            "containers": [{"name": "c", "image": "x:1", "env": [{"name": "E", "value": ""}]}],
            "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
            "volume": {"emptyDir": {"sizeLimit": "1024Mi"}},
        },
    },
)


def test_defaults_spelling_sidecars_and_an_autoscalers_replicas_are_no_drift() -> None:
    assert live_inputs(INPUTS, LIVE) == INPUTS


SCALED = {"manager": "keda", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
MINE = {"manager": "mine", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}}


def scaled(replicas: int, *managers: Json) -> Object:
    return obj("Deployment", metadata={"name": "d", "managedFields": list(managers)}, spec={"replicas": replicas})


def test_replicas_that_an_autoscaler_set_are_no_drift_and_those_of_a_person_are() -> None:
    inputs = obj("Deployment", metadata={"name": "d"}, spec={"replicas": 0})
    assert live_inputs(inputs, scaled(7, SCALED)) == inputs
    assert live_inputs(inputs, scaled(7, MINE)) != inputs
    without = obj("Deployment", metadata={"name": "d"}, spec={"paused": True})
    assert live_inputs(without, {**scaled(7, SCALED), "spec": {"replicas": 7, "paused": True}}) == without


@pytest.mark.parametrize(
    ("managers", "spec"),
    [
        ([SCALED], {"paused": True}),  # left to the autoscaler
        ([MINE], {"paused": True, "replicas": 7}),  # without it, an apply would remove it
        ([MINE, SCALED], {"paused": True, "replicas": 7}),
        ([], {"paused": True, "replicas": 7}),
    ],
)
def test_an_ignored_field_stays_as_it_is_in_the_cluster(managers: list[Json], spec: Object) -> None:
    inputs = obj("Deployment", spec={"paused": True, "replicas": 0})
    assert with_ignored(inputs, scaled(7, *managers), ("spec.replicas",), "mine") == obj("Deployment", spec=spec)
    assert inputs["spec"]["replicas"] == 0, "the state would be changed"


def test_an_ignored_field_that_nobody_has_is_left_out() -> None:
    inputs, live = obj("Deployment", spec={"replicas": 0}), obj("Deployment", spec={})
    assert with_ignored(inputs, live, ("spec.replicas", "status.nothing"), "mine") == live


@pytest.mark.parametrize(
    "drifted",
    [
        {"template": {**LIVE["spec"]["template"], "containers": [{"name": "c", "image": "evil:2"}]}},
        {"template": {**LIVE["spec"]["template"], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}},
        {"template": {**LIVE["spec"]["template"], "containers": []}},
        {},
    ],
)
def test_a_changed_or_removed_field_of_ours_is_drift(drifted: Json) -> None:
    assert live_inputs(INPUTS, {**LIVE, "spec": drifted}) != INPUTS


def test_a_list_of_plain_values_that_became_longer_is_drift() -> None:
    assert live_inputs({"args": ["a"]}, {"args": ["a", "b"]}) == {"args": ["a", "b"]}


def test_a_text_that_looks_like_a_quantity_is_compared_as_text() -> None:
    assert live_inputs({"env": [{"name": "A", "value": "1000m"}]}, {"env": [{"name": "A", "value": "1"}]}) == {
        "env": [{"name": "A", "value": "1"}]
    }


def test_string_data_of_a_secret_is_compared_with_what_the_server_made_of_it() -> None:
    inputs = obj("Secret", "v1", stringData={"password": "pw"})
    assert live_inputs(inputs, obj("Secret", "v1", data={"password": "cHc="})) == inputs
    assert live_inputs(inputs, obj("Secret", "v1", data={"password": "b3RoZXI="}))["stringData"] == {
        "password": "other"
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("1", "1"), (2, "2"), ("1Gi", "1073741824"), ("1k", "1000"), ("1e3", "1000"), ("0.5", "0.5")],
)
def test_a_quantity_stands_for_a_number(text: Json, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x:1", "25%", "Gi", True, None])
def test_other_texts_are_no_quantity(text: Json) -> None:
    assert quantity(text) is None


def test_an_import_leaves_out_what_the_server_wrote() -> None:
    live = {**LIVE, "metadata": {**LIVE["metadata"], "uid": "u", "resourceVersion": "1", "managedFields": []}}
    assert imported(live) == {key: value for key, value in LIVE.items() if key != "status"}


def test_a_deployment_is_settled_when_every_replica_is_new_and_available() -> None:
    ready = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    live = {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": ready}
    assert not_ready(live) is None
    for key, value in (("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 1)):
        assert not_ready({**live, "status": {**ready, key: value}})
    assert not_ready({"kind": "Service"}) is None
