"""The broker's password is a secret everywhere, and stands in one place."""

import dataclasses
from typing import Any

import pytest
from pulumi import RunError

from config.loading import parse
from config.secrets import Secrets
from tests.program.harness import LAYOUTS, PASSWORD, Program, configuration, fail, program, run, secrets_of
from tests.program.monitor import Secret, leaves

EXTERNAL = {"kind": "external", "host": "redis.dev.alphaswarm.example"}


def secret_places(found: Program) -> list[tuple[str, str]]:
    """Type and name of each resource with a secret that holds something among its inputs."""
    return [
        (one.type, one.name)
        for one in found.registrations
        if any(isinstance(leaf, Secret) and leaf.value for leaf in leaves(one.inputs))
    ]


def spoken(found: Program) -> list[Any]:
    """All that a reader of previews, states, exports and logs could see in plain text."""
    return [
        leaf
        for seen in (
            [dataclasses.asdict(one) | {"inputs": one.inputs} for one in found.registrations],
            list(found.outputs_by_urn.values()),
            [list(pair) for pair in found.messages],
            found.exports,
        )
        for leaf in leaves(seen)
        if not isinstance(leaf, Secret)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_the_password_stands_only_in_its_secret_and_is_marked_secret(layout: str, preview: bool) -> None:
    found = program("local", layout, preview=preview)
    assert secret_places(found) == [("kubernetes:core/v1:Secret", "alphaswarm-broker-password")]
    registered = found.one("kubernetes:core/v1:Secret", "alphaswarm-broker-password").inputs
    data = registered["stringData"]
    given = data.value["password"] if isinstance(data, Secret) else data["password"].value
    assert (given.value if isinstance(given, Secret) else given) == PASSWORD
    assert not [leaf for leaf in spoken(found) if PASSWORD in str(leaf)], "the password can be read in plain text"


def test_an_external_brokers_password_becomes_one_secret_too() -> None:
    found = run(configuration("dev", broker=EXTERNAL), {"brokerPassword": PASSWORD})
    assert secret_places(found) == [("kubernetes:core/v1:Secret", "alphaswarm-broker-password")]
    assert not [leaf for leaf in spoken(found) if PASSWORD in str(leaf)]


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_a_stack_with_a_secret_of_its_own_registers_none(stack: str) -> None:
    assert not program(stack).manifests("Secret")
    assert secret_places(program(stack)) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_workers_scalers_and_redis_read_the_password_by_reference(layout: str) -> None:
    found = program("local", layout)
    reference = {"secretKeyRef": {"name": "alphaswarm-broker", "key": "password"}}
    readers = {**found.workers(), "alphaswarm-beat": found.manifest("Deployment", "alphaswarm-beat")}
    for name, deployment in readers.items():
        (only,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "REDIS_BROKER", "valueFrom": reference} in only["env"], f"{name} has no password"
        assert not any("redis://" in str(variable.get("value")) for variable in only["env"])
    assert "alphaswarm-broker" in found.manifests("Secret")


@pytest.mark.parametrize("key", ["brokerPassword", "netrc"])
def test_a_secret_given_as_plain_text_is_refused_without_being_repeated(key: str) -> None:
    failure = fail(configuration("local", **{key: PASSWORD}), {})
    assert isinstance(failure.error, RunError)
    assert f"fleet:{key}: is a secret and stands here as plain text" in str(failure.error)
    assert PASSWORD not in str(failure.error)
    assert not failure.registrations


def test_a_plain_key_stored_as_a_secret_is_refused_without_being_repeated() -> None:
    failure = fail(configuration("dev", namespace=None), {"namespace": PASSWORD})
    assert "fleet:namespace: is stored as a secret" in str(failure.error)
    assert PASSWORD not in str(failure.error)


def test_a_password_in_the_address_of_the_broker_is_not_repeated_by_the_error() -> None:
    broker = {**EXTERNAL, "host": f"rediss://user:{PASSWORD}@redis.dev.alphaswarm.example"}
    failure = fail(configuration("dev", broker=broker), {"brokerPassword": "x"})
    assert "fleet:broker.host" in str(failure.error)
    assert PASSWORD not in str(failure.error)


def test_settings_can_be_shown_without_showing_a_secret() -> None:
    settings = parse(configuration("local"), frozenset(secrets_of("local")))
    assert PASSWORD not in repr(settings)
    assert "brokerPassword" not in settings.model_dump_json(by_alias=True)
    assert Secrets() == Secrets(None, None)


def test_a_failing_run_does_not_repeat_the_password() -> None:
    failure = fail(configuration("local", layout="sideways"), secrets_of("local"))
    assert PASSWORD not in str(failure.error)
    assert PASSWORD not in repr(failure.error)
