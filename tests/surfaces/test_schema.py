"""Editors accept and refuse what the program accepts and refuses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from config.errors import SettingsError
from config.loading import parse
from config.schema import SECRET_KEYS, Settings
from queues import QUEUES
from surfaces.schema import SECRETS, stack_file_schema

QUEUE = QUEUES.queues[0]
PLAIN: Mapping[str, Any] = {
    "environment": "dev",
    "images": {"source": "promote", "stack": "a/b/c"},
    "broker": {"kind": "external", "host": "redis.example.com", "existingSecret": "redis"},
    "labels": {"project": "p", "costCenter": "c", "owner": "o", "dataClassification": "public"},
}
BUILD: Mapping[str, Any] = {
    "aws": {"region": "eu-central-1", "accountId": "111122223333"},
    "registry": {},
    "images": {"source": "build"},
}
GIT = "https://git.example.com/tasks.git"
DIGEST = "registry.example.com/alphaswarm-worker@sha256:" + "0" * 64

ACCEPTED: Mapping[str, Any] = {
    "the least": {},
    "a queue's tuning": {"scaling": {QUEUE.name: {"maxReplicas": QUEUE.max_replicas}}},
    "no registry, said aloud": {"registry": None},
    "digests": {"images": {"source": "digests", "worker": DIGEST, "executor": DIGEST}},
    "an application's folder": {**BUILD, "images": {"source": "build", "application": "../app"}},
    "an application's commit": {**BUILD, "images": {"source": "build", "application": f"{GIT}#{'0a' * 20}:tasks"}},
    "an egress": {"egress": [{"cidr": "10.0.0.0/8", "ports": [5432]}]},
    "protection": {"protect": True},
    "protection, as `pulumi config set` writes it": {"protect": "true"},
}
REFUSED: Mapping[str, Any] = {
    "an unknown section": {"metrix": {}},
    "an unknown key": {"metrics": {"enable": True}},
    "an unknown queue": {"scaling": {f"{QUEUE.name}-gone": {"maxReplicas": 4}}},
    "another image for a queue": {"scaling": {QUEUE.name: {"image": "worker"}}},
    "an unknown environment": {"environment": "test"},
    "a wrong type": {"metrics": {"enabled": "perhaps"}},
    "a number out of bounds": {"broker": {**PLAIN["broker"], "port": 0}},
    "no such kind of broker": {"broker": {"kind": "kafka"}},
    "a key of the other kind of broker": {"broker": {**PLAIN["broker"], "scalerAddress": "h:1"}},
    "a tag instead of a digest": {"images": {"source": "digests", "worker": "a:1", "executor": "b:1"}},
    "an application's branch": {**BUILD, "images": {"source": "build", "application": f"{GIT}#main"}},
    "a namespace that is no DNS label": {"namespace": "Alpha_Swarm"},
    "a missing label": {"labels": {"project": "p"}},
    "a secret in plain text": {"brokerPassword": "hunter2"},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(stack_file_schema())
    return Draft202012Validator(stack_file_schema())


def _file(changed: Mapping[str, Any]) -> dict[str, Any]:
    return {"config": {f"fleet:{key}": value for key, value in {**PLAIN, **changed}.items()}}


def test_the_committed_schema_accepts_every_stack_file(root: Path) -> None:
    committed = Draft202012Validator(json.loads((root / "config/stack.schema.json").read_text()))
    files = sorted(root.glob("Pulumi.*.yaml"))
    problems = {
        file.name: [error.message for error in committed.iter_errors(yaml.safe_load(file.read_text()))]
        for file in files
    }
    assert len(files) == 4
    assert problems == {file.name: [] for file in files}


def test_every_stack_file_names_its_schema(root: Path) -> None:
    first = {file.name: file.read_text().splitlines()[0] for file in root.glob("Pulumi.*.yaml")}
    assert set(first.values()) == {"# yaml-language-server: $schema=config/stack.schema.json"}, first


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_schema_accepts_what_the_program_accepts(case: str, validator: Draft202012Validator) -> None:
    parse({**PLAIN, **ACCEPTED[case]})
    assert [error.message for error in validator.iter_errors(_file(ACCEPTED[case]))] == []


@pytest.mark.parametrize("case", REFUSED)
def test_the_schema_refuses_what_the_program_refuses(case: str, validator: Draft202012Validator) -> None:
    with pytest.raises(SettingsError):
        parse({**PLAIN, **REFUSED[case]})
    assert not validator.is_valid(_file(REFUSED[case])), f"an editor shows no fault in {case}"


def test_keys_of_others_and_encrypted_secrets_are_allowed(validator: Draft202012Validator) -> None:
    file = _file({"brokerPassword": {"secure": "v1:abc"}})
    file["config"]["aws:region"] = "eu-central-1"
    file["encryptionsalt"] = "v1:abc"
    assert [error.message for error in validator.iter_errors(file)] == []


def test_a_key_beside_config_must_be_one_of_the_engine(validator: Draft202012Validator) -> None:
    assert not validator.is_valid({**_file({}), "konfig": {}})


def test_every_key_has_a_description() -> None:
    whole = stack_file_schema()
    named = dict(whole["properties"]["config"]["properties"])
    for model in whole["$defs"].values():
        named |= model["properties"]
    assert [key for key, value in named.items() if not value.get("description")] == []
    assert len(named) > 60, "the sweep lost its keys"


def test_every_section_and_every_secret_is_in_the_schema() -> None:
    keys = {field.alias or name for name, field in Settings.model_fields.items()} | SECRET_KEYS
    assert set(stack_file_schema()["properties"]["config"]["properties"]) == {f"fleet:{key}" for key in keys}
    assert set(SECRETS) == SECRET_KEYS
