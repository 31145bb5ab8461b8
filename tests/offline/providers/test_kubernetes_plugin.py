"""The Kubernetes stand-in through its gRPC face, against a small API server."""

from collections.abc import Callable

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from offline.providers.kubernetes import INPUTS_ONLY, Kubernetes
from offline.providers.plugin import Provider
from offline.providers.values import UNKNOWN, Json, Object, encode
from tests.offline.api_server import Cluster
from tests.offline.conftest import Client, kubeconfig, refusal, urn

CONFIG_MAP, DEPLOYMENT = "kubernetes:core/v1:ConfigMap", "kubernetes:apps/v1:Deployment"
SCALER = "kubernetes:keda.sh/v1alpha1:ScaledObject"


def config_map(name: str = "c", namespace: str = "n", **data: Json) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def deployment(**metadata: Json) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n", **metadata}}


def scaled_object() -> Object:
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s", "namespace": "n"}}


@pytest.fixture
def plugin(serve: Callable[[Provider], Client], cluster: Cluster) -> Client:
    client = serve(Kubernetes())
    client.configure(kubeconfig=kubeconfig(cluster.url))
    return client


@pytest.fixture
def alone(serve: Callable[[Provider], Client]) -> Client:
    client = serve(Kubernetes())
    client.configure(kubeconfig=kubeconfig("http://127.0.0.1:1"))
    return client


def test_it_says_at_once_that_it_is_a_stand_in(plugin: Client, cluster: Cluster) -> None:
    assert plugin.log.messages == [f"stand-in Kubernetes plugin: speaks to {cluster.url}; not a released provider"]


def test_an_object_is_made_changed_read_and_deleted(plugin: Client, cluster: Cluster) -> None:
    ident, state = plugin.create(CONFIG_MAP, config_map(a="1"))
    assert ident == "n/c"
    assert state["metadata"]["uid"]
    assert "managedFields" not in state["metadata"]
    assert plugin.read(CONFIG_MAP, ident, config_map(a="1"), state) == config_map(a="1")
    plugin.update(CONFIG_MAP, ident, config_map(a="1"), config_map(a="2"), state)
    assert cluster.objects["/api/v1/namespaces/n/configmaps/c"]["data"] == {"a": "2"}
    assert plugin.read(CONFIG_MAP, ident, config_map(a="1"), state) == config_map(a="2"), "the change is no drift"
    plugin.delete(CONFIG_MAP, ident, config_map(a="2"), state)
    assert not cluster.objects
    assert plugin.read(CONFIG_MAP, ident, config_map(a="2"), state) is None
    plugin.delete(CONFIG_MAP, ident, config_map(a="2"), state)


def test_a_renamed_resource_keeps_the_field_manager_of_its_state(plugin: Client, cluster: Cluster) -> None:
    plugin.update(CONFIG_MAP, "n/c", config_map(), config_map(a="1"), {**config_map(), "__fieldManager": "mine"})
    assert any("fieldManager=mine" in call for call in cluster.calls)


def test_an_update_leaves_an_ignored_field_to_the_one_who_has_it(plugin: Client, cluster: Cluster) -> None:
    scale = {"manager": "keda", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    live = {**deployment(uid="1", managedFields=[scale]), "spec": {"replicas": 7}}
    path, old = "/apis/apps/v1/namespaces/n/deployments/d", {**deployment(), "spec": {"replicas": 0}}
    skip = {"annotations": {"pulumi.com/skipAwait": "true"}}
    new = {**deployment(**skip), "spec": {"replicas": 0, "paused": True}}
    cluster.objects[path] = live
    shown = plugin.update(DEPLOYMENT, "n/d", old, new, old, preview=True, ignored=("spec.replicas",))
    assert shown["spec"] == {"paused": True}
    plugin.update(DEPLOYMENT, "n/d", old, new, old, ignored=("spec.replicas",))
    assert cluster.objects[path]["spec"] == {"paused": True}, "the scaler's number would be set back"


def test_a_preview_asks_the_server_and_writes_nothing(plugin: Client, cluster: Cluster) -> None:
    cluster.warnings.append("PollingInterval is not relevant")
    ident, shown = plugin.create(CONFIG_MAP, config_map(a="1"), preview=True)
    assert ident == ""
    assert "uid" not in shown["metadata"], "a dry-run's identity is not the one the object will have"
    assert not cluster.objects
    assert any("dryRun=All" in call for call in cluster.calls)
    assert "PollingInterval is not relevant" in plugin.log.messages


def test_what_admission_would_refuse_fails_the_preview_in_its_own_words(plugin: Client, cluster: Cluster) -> None:
    cluster.refuses = (403, "the workload 'wh' is already managed by the hpa 'mine'")
    message = refusal(lambda: plugin.create(CONFIG_MAP, config_map(), preview=True))
    assert message.startswith("thing would be refused by the API server: ")
    assert "already managed by the hpa 'mine'" in message


def test_a_preview_with_unknown_inputs_or_a_namespace_still_to_come_shows_the_inputs(
    plugin: Client, cluster: Cluster
) -> None:
    unknown = config_map(a=UNKNOWN)
    assert plugin.create(CONFIG_MAP, unknown, preview=True)[1]["data"] == {"a": UNKNOWN}
    assert not any("PATCH" in call for call in cluster.calls)
    assert plugin.create(CONFIG_MAP, config_map(namespace="new", a="1"), preview=True)[1]["data"] == {"a": "1"}


def test_without_a_cluster_previews_show_inputs_and_say_so_once(alone: Client) -> None:
    for name in ("a", "b", "c"):
        assert alone.create(CONFIG_MAP, config_map(name), preview=True)[1]["metadata"]["name"] == name
    warnings = [line for line in alone.log.messages if INPUTS_ONLY in line]
    assert len(warnings) == 1
    assert "connection refused" in warnings[0]


def test_without_a_cluster_an_update_fails_in_one_sentence(alone: Client) -> None:
    for call in (
        lambda: alone.create(CONFIG_MAP, config_map()),
        lambda: alone.read(CONFIG_MAP, "n/c", config_map()),
        lambda: alone.delete(CONFIG_MAP, "n/c", config_map()),
    ):
        assert refusal(call) == "No Kubernetes API server answers at http://127.0.0.1:1: connection refused"


def test_a_missing_keda_is_named_with_how_to_install_it(plugin: Client) -> None:
    plugin.create(SCALER, scaled_object(), preview=True)
    assert any("KEDA is not installed: `helm install keda" in line for line in plugin.log.messages)
    assert "KEDA is not installed" in refusal(lambda: plugin.create(SCALER, scaled_object()))


def test_an_object_of_somebody_else_is_not_taken_over(plugin: Client, cluster: Cluster) -> None:
    path = "/api/v1/namespaces/n/configmaps/c"
    cluster.objects[path] = config_map(theirs="1") | {
        "metadata": {"uid": "u", "managedFields": [{"manager": "kubectl"}]}
    }
    assert "ConfigMap n/c already exists" in refusal(lambda: plugin.create(CONFIG_MAP, config_map(a="1")))
    assert cluster.objects[path]["data"] == {"theirs": "1"}


def test_the_object_of_an_interrupted_create_is_taken_up_and_not_deleted_after_it(
    plugin: Client, cluster: Cluster
) -> None:
    ident, state = plugin.create(CONFIG_MAP, config_map(a="1"))
    assert plugin.create(CONFIG_MAP, config_map(a="1"))[0] == ident
    plugin.delete(CONFIG_MAP, ident, config_map(a="1"), state)
    assert cluster.objects, "a forced replacement deletes the very object it has just made"


def test_a_conflict_names_the_way_out(plugin: Client, cluster: Cluster) -> None:
    cluster.refuses = (409, 'Apply failed with 1 conflict: conflict with "kubectl-set": .spec.image')
    message = refusal(lambda: plugin.create(CONFIG_MAP, config_map()))
    assert 'conflict with "kubectl-set"' in message
    assert "pulumi.com/patchForce" in message


def test_force_is_used_only_where_it_is_asked_for(plugin: Client, cluster: Cluster) -> None:
    plugin.create(CONFIG_MAP, config_map())
    assert "force=false" in cluster.calls[-1]
    forced = config_map()
    forced["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    plugin.update(CONFIG_MAP, "n/c", config_map(), forced)
    assert "force=true" in cluster.calls[-1]


def test_a_deployment_is_awaited_unless_an_annotation_says_no(
    serve: Callable[[Provider], Client], cluster: Cluster
) -> None:
    client = serve(Kubernetes())
    client.configure(kubeconfig=kubeconfig(cluster.url))
    skipped = deployment(annotations={"pulumi.com/skipAwait": "true"})
    assert client.create(DEPLOYMENT, skipped)[0] == "n/d"
    cluster.objects.clear()
    request = provider_pb2.CreateRequest(urn=urn(DEPLOYMENT), properties=encode(deployment()), timeout=0.3)
    with pytest.raises(grpc.RpcError, match="0 of 1 replicas are ready") as failure:
        client.stub.Create(request)
    trailing: Json = failure.value.trailing_metadata()
    details = [value for key, value in trailing if key == "grpc-status-details-bin"]
    assert b"n/d" in details[0], "the engine forgets an object that exists but is not ready"


def test_an_object_held_by_a_finalizer_is_reported_and_not_waited_for_for_ever(
    plugin: Client, cluster: Cluster
) -> None:
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/keep"]
    _, state = plugin.create(CONFIG_MAP, held)
    cluster.finalizers = True
    assert "finalizers are: example.com/keep" in refusal(lambda: plugin.delete(CONFIG_MAP, "n/c", held, state))


def test_a_secrets_content_is_always_secret(plugin: Client) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "stringData": {"a": "pw"},
    }
    assert ("stringData",) in plugin.secrets_of_create("kubernetes:core/v1:Secret", secret).paths


def test_inputs_that_are_no_object_are_refused_by_name(plugin: Client) -> None:
    _, failures = plugin.check(DEPLOYMENT, {"metadata": 3})
    assert [name for name, _ in failures] == ["apiVersion", "kind", "metadata"]
    _, failures = plugin.check("kubernetes:apps/v1:DeploymentPatch", deployment())
    assert "does not serve" in failures[0][1]


def test_a_replacement_is_told_with_its_places(plugin: Client) -> None:
    answer = plugin.diff(CONFIG_MAP, config_map(a="1"), config_map(a="2"))
    assert list(answer.replaces) == ["data.a"]
    assert answer.deleteBeforeReplace
    assert answer.detailedDiff["data.a"].kind == answer.detailedDiff["data.a"].UPDATE_REPLACE


def test_an_import_takes_the_object_as_it_is(plugin: Client) -> None:
    plugin.create(CONFIG_MAP, config_map(a="1"))
    assert plugin.read(CONFIG_MAP, "n/c", {}) == config_map(a="1")
