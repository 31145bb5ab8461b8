"""How workers and scalers get at a Redis of somebody else: authority, login, and where a password comes from."""

from typing import Any

import pytest

from config.loading import parse
from config.schema import Settings
from manifests.scaling import demand_keys
from queues import QUEUES
from tests.program.harness import LAYOUTS, built_images, configuration, run, secrets_of, written_objects

Objects = dict[tuple[str, str], dict[str, Any]]


def settings(layout: str = "per-queue", **broker: Any) -> Settings:  # noqa: ANN401 any configuration
    external = {"kind": "external", "host": "redis.example.com", **broker}
    return parse(configuration("dev", layout=layout, broker=external))


def objects(found: Settings) -> Objects:
    every = written_objects(found, built_images())
    return {(one["kind"], one["metadata"]["name"]): one for one in every}


def variables(found: Objects, deployment: str) -> dict[str, Any]:
    (container,) = found["Deployment", deployment]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def triggers(found: Objects) -> list[dict[str, Any]]:
    return [
        trigger for (kind, _), one in found.items() if kind == "ScaledObject" for trigger in one["spec"]["triggers"]
    ]


AUTHENTICATION = ("TriggerAuthentication", "alphaswarm-broker")
ANY_WORKER = QUEUES.queues[0].deployment


@pytest.mark.parametrize("name", [ANY_WORKER, "alphaswarm-beat"])
def test_workers_and_beat_trust_the_servers_own_authority(name: str) -> None:
    found = objects(settings(existingSecret="s", ca={"configMap": "company-ca", "key": "root.pem"}))
    pod = found["Deployment", name]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    (volume,) = (one for one in pod["volumes"] if one["name"] == "broker-ca")
    assert volume["configMap"] == {"name": "company-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}
    assert variables(found, name)["ALPHASWARM_BROKER_CA"] == f"{mounts['broker-ca']['mountPath']}/ca.crt"
    assert mounts["broker-ca"]["readOnly"] is True


def test_scalers_get_password_and_authority_from_where_they_are() -> None:
    spec = objects(settings(existingSecret="s", existingSecretKey="p", ca={"secret": "root"}))[AUTHENTICATION]["spec"]
    assert spec["secretTargetRef"] == [
        {"parameter": "password", "name": "s", "key": "p"},
        {"parameter": "ca", "name": "root", "key": "ca.crt"},
    ]
    spec = objects(settings(existingSecret="s", ca={"configMap": "root"}))[AUTHENTICATION]["spec"]
    assert spec["configMapTargetRef"] == [{"parameter": "ca", "name": "root", "key": "ca.crt"}]


def test_a_redis_without_a_password_is_asked_without_one() -> None:
    found = objects(settings(passwordless=True, tls=False))
    assert AUTHENTICATION not in found
    assert "REDIS_BROKER" not in variables(found, ANY_WORKER)
    assert len(triggers(found)) == sum(len(demand_keys(queue)) for queue in QUEUES.queues)
    assert not any("authenticationRef" in trigger for trigger in triggers(found))
    with_authority = objects(settings(passwordless=True, ca={"secret": "root"}))
    assert [one["parameter"] for one in with_authority[AUTHENTICATION]["spec"]["secretTargetRef"]] == ["ca"]
    assert all("authenticationRef" in trigger for trigger in triggers(with_authority))


def test_a_login_for_scalers_that_somebody_else_keeps_is_named_and_not_made() -> None:
    found = objects(settings(existingSecret="s", scalerAuthentication="keda-redis"))
    assert AUTHENTICATION not in found
    reference = {"name": "keda-redis", "kind": "ClusterTriggerAuthentication"}
    assert all(trigger["authenticationRef"] == reference for trigger in triggers(found))


def test_results_may_go_elsewhere_by_a_url_that_no_file_shows() -> None:
    found = variables(objects(settings(existingSecret="s", resultUrl={"secret": "results", "key": "url"})), ANY_WORKER)
    assert found["CELERY_RESULT_BACKEND"] == {"secretKeyRef": {"name": "results", "key": "url"}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_password_is_fetched_before_anything_needs_it(layout: str) -> None:
    broker = {"kind": "external", "host": "redis.example.com", "externalSecret": {"store": "vault", "key": "redis"}}
    found = run(configuration("dev", layout=layout, broker=broker), secrets_of("dev"))
    spec = found.manifest("ExternalSecret", "alphaswarm-broker")["spec"]
    assert spec["target"] == {"name": "alphaswarm-broker", "creationPolicy": "Owner"}
    assert spec["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert spec["data"] == [{"secretKey": "password", "remoteRef": {"key": "redis"}}]
    assert not [one for one in found.kubernetes() if one[0] == "Secret"], "nobody else may own it"
    reads = variables(objects(settings(layout, externalSecret={"store": "vault", "key": "redis"})), "alphaswarm-beat")
    assert reads["REDIS_BROKER"] == {"secretKeyRef": {"name": "alphaswarm-broker", "key": "password"}}
