"""The AWS stand-in through its gRPC face, against a moto server."""

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
import pytest

from offline.providers.aws import Aws
from offline.providers.plugin import Provider
from offline.providers.values import UNKNOWN, Json, Object, has_unknown
from tests.offline.conftest import REGION, Client, refusal

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

REPOSITORY, LIFECYCLE = "aws:ecr/repository:Repository", "aws:ecr/lifecyclePolicy:LifecyclePolicy"
ROLE, ROLE_POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT, KEY, ALIAS = "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:kms/key:Key", "aws:kms/alias:Alias"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]})
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
EXPIRE: Json = {
    "rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan"}}]
}
EXPIRE["rules"][0]["selection"]["countNumber"] = 5
EXPIRE["rules"][0]["action"] = {"type": "expire"}


def settings(url: str) -> Object:
    services = ("ecr", "iam", "sts", "kms")
    return {
        "region": REGION,
        "accessKey": "test",
        "secretKey": "test",
        "endpoints": json.dumps([dict.fromkeys(services, url)]),
        "defaultTags": json.dumps({"tags": {"owner": "fleet"}}),
        "skipCredentialsValidation": "true",
    }


@pytest.fixture
def plugin(serve: Callable[[Provider], Client], moto: str) -> Client:
    client = serve(Aws())
    client.configure(**settings(moto))
    return client


@pytest.fixture
def alone(serve: Callable[[Provider], Client]) -> Client:
    client = serve(Aws())
    client.configure(**settings("http://127.0.0.1:1"))
    return client


@pytest.fixture
def ecr(moto: str) -> "ECRClient":
    return boto3.client(
        "ecr", endpoint_url=moto, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def a_name() -> str:
    return f"n{uuid.uuid4().hex[:10]}"


def repository(plugin: Client, **more: Json) -> Object:
    given = {
        "name": a_name(),
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filter": "cache-*", "filterType": "WILDCARD"}],
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [{"encryptionType": "AES256"}],
        "forceDelete": True,
        "tags": {"project": "alphaswarm"},
        **more,
    }
    checked, failures = plugin.check(REPOSITORY, given)
    assert not failures
    return checked


def test_a_repository_holds_what_it_was_given(plugin: Client, ecr: "ECRClient") -> None:
    inputs = repository(plugin)
    ident, outputs = plugin.create(REPOSITORY, inputs)
    found = ecr.describe_repositories(repositoryNames=[ident])["repositories"][0]
    assert found["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert found["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "cache-*"}]
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert outputs["repositoryUrl"] == found["repositoryUri"]
    assert outputs["tagsAll"] == {"project": "alphaswarm", "owner": "fleet"}
    assert outputs["region"] == REGION
    assert outputs["forceDelete"] is True
    assert plugin.read(REPOSITORY, ident, inputs, outputs) == inputs, "a refresh without drift shows one"
    plugin.delete(REPOSITORY, ident, inputs, outputs)
    assert plugin.read(REPOSITORY, ident, inputs, outputs) is None
    plugin.delete(REPOSITORY, ident, inputs, outputs)


def test_what_somebody_changed_by_hand_shows_on_refresh_and_is_put_back(plugin: Client, ecr: "ECRClient") -> None:
    inputs = repository(plugin)
    ident, state = plugin.create(REPOSITORY, inputs)
    ecr.put_image_tag_mutability(repositoryName=ident, imageTagMutability="MUTABLE")
    ecr.put_image_scanning_configuration(repositoryName=ident, imageScanningConfiguration={"scanOnPush": False})
    arn = state["arn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "project", "Value": "other"}])
    drifted = plugin.read(REPOSITORY, ident, inputs, state)
    changed = set(plugin.diff(REPOSITORY, drifted, inputs).diffs)
    assert changed >= {"imageTagMutability", "imageScanningConfiguration", "tags"}
    plugin.update(REPOSITORY, ident, drifted, inputs, state)
    assert plugin.read(REPOSITORY, ident, inputs, state) == inputs


def test_a_lifecycle_policy_deleted_by_hand_is_gone_and_one_spelled_otherwise_is_not_changed(
    plugin: Client, ecr: "ECRClient"
) -> None:
    repo, _ = plugin.create(REPOSITORY, repository(plugin))
    inputs, _ = plugin.check(LIFECYCLE, {"repository": repo, "policy": EXPIRE})
    ident, state = plugin.create(LIFECYCLE, inputs)
    spelled = {**inputs, "policy": json.dumps(EXPIRE, indent=3)}
    assert not plugin.diff(LIFECYCLE, inputs, spelled).detailedDiff
    assert plugin.read(LIFECYCLE, ident, inputs, state) == inputs
    ecr.delete_lifecycle_policy(repositoryName=repo)
    assert plugin.read(LIFECYCLE, ident, inputs, state) is None


def test_a_role_with_its_policies_is_made_changed_and_removed(plugin: Client) -> None:
    inputs, _ = plugin.check(ROLE, {"assumeRolePolicy": TRUST})
    assert inputs["name"].startswith("thing-"), "a role without a name needs one"
    role, state = plugin.create(ROLE, inputs)
    assert state["arn"].endswith(f"role/{role}")
    assert plugin.read(ROLE, role, inputs, state) == inputs
    changed = {**inputs, "description": "irsa", "maxSessionDuration": 7200}
    assert plugin.update(ROLE, role, inputs, changed, state)["description"] == "irsa"
    policy, _ = plugin.check(ROLE_POLICY, {"role": role, "policy": ALLOW})
    policy_id, _ = plugin.create(ROLE_POLICY, policy)
    assert plugin.read(ROLE_POLICY, policy_id, policy) == policy
    attached = {"role": role, "policyArn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"}
    attachment, _ = plugin.create(ATTACHMENT, attached)
    assert plugin.read(ATTACHMENT, attachment, attached) == attached
    plugin.delete(ATTACHMENT, attachment, attached)
    assert plugin.read(ATTACHMENT, attachment, attached) is None
    plugin.delete(ROLE_POLICY, policy_id, policy)
    plugin.delete(ROLE, role, changed)
    assert plugin.read(ROLE, role, changed) is None


def test_a_key_with_its_alias_is_made_changed_and_scheduled_for_deletion(plugin: Client) -> None:
    given = {"description": "images", "enableKeyRotation": True, "deletionWindowInDays": 7}
    inputs, _ = plugin.check(KEY, given)
    key, state = plugin.create(KEY, inputs)
    assert state["enableKeyRotation"] is True
    assert plugin.read(KEY, key, inputs, state) == inputs
    alias, _ = plugin.create(ALIAS, {"name": f"alias/{a_name()}", "targetKeyId": key})
    assert plugin.read(ALIAS, alias, {"name": alias, "targetKeyId": key}) == {"name": alias, "targetKeyId": key}
    plugin.update(KEY, key, inputs, {**inputs, "enableKeyRotation": False}, state)
    assert plugin.read(KEY, key, inputs, state)["enableKeyRotation"] is False
    plugin.delete(ALIAS, alias, {"name": alias, "targetKeyId": key})
    plugin.delete(KEY, key, inputs, state)
    assert plugin.read(KEY, key, inputs, state) is None


def test_a_preview_calls_nothing_and_leaves_unknown_what_only_the_account_knows(alone: Client) -> None:
    inputs, failures = alone.check(REPOSITORY, {"name": "w", "tags": UNKNOWN})
    assert not failures
    _, outputs = alone.create(REPOSITORY, inputs, preview=True)
    assert (outputs["name"], outputs["arn"], outputs["repositoryUrl"]) == ("w", UNKNOWN, UNKNOWN)
    updated = alone.update(REPOSITORY, "w", inputs, {**inputs, "forceDelete": True}, {"arn": "known"}, preview=True)
    assert updated["arn"] == "known"
    document, _ = alone.check(ROLE_POLICY, {"role": UNKNOWN, "policy": {"Resource": UNKNOWN}})
    assert document["policy"] == UNKNOWN
    assert has_unknown(alone.create(ROLE_POLICY, document, preview=True)[1])


def test_an_endpoint_that_does_not_answer_is_one_sentence(alone: Client) -> None:
    inputs, _ = alone.check(REPOSITORY, {"name": "worker"})
    message = refusal(lambda: alone.create(REPOSITORY, inputs))
    assert message.startswith("No AWS endpoint answers at http://127.0.0.1:1 (for ecr)")


def test_no_service_is_called_whose_endpoint_the_provider_does_not_name(serve: Callable[[Provider], Client]) -> None:
    client = serve(Aws())
    client.configure(region=REGION, accessKey="test", secretKey="test")
    message = refusal(lambda: client.create(REPOSITORY, {"name": "w", "tagsAll": {}}))
    assert "names none for ecr" in message, "a stand-in must never reach a real account"


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        (LIFECYCLE, {"repository": "r"}, "policy"),
        (LIFECYCLE, {"repository": "r", "policy": "{"}, "policy"),
        (ROLE, {}, "assumeRolePolicy"),
        (ATTACHMENT, {"role": "r"}, "policyArn"),
        (ROLE, {"assumeRolePolicy": TRUST, "managedPolicyArns": []}, "managedPolicyArns"),
        ("aws:s3/bucket:Bucket", {}, ""),
    ],
)
def test_an_input_that_is_missing_or_wrong_is_named(alone: Client, kind: str, given: Json, named: str) -> None:
    _, failures = alone.check(kind, given)
    assert [name for name, _ in failures] == [named]


def test_only_what_the_account_cannot_change_replaces_a_repository(alone: Client) -> None:
    old = {"name": "a", "encryptionConfigurations": [{"encryptionType": "AES256"}], "forceDelete": False}
    assert not alone.diff(REPOSITORY, old, {**old, "forceDelete": True}).replaces
    kms = {**old, "encryptionConfigurations": [{"encryptionType": "KMS"}]}
    answer = alone.diff(REPOSITORY, old, kms)
    assert list(answer.replaces) == ["encryptionConfigurations[0].encryptionType"]
    assert answer.deleteBeforeReplace, "two repositories of one name cannot exist"
    assert not alone.diff(REPOSITORY, old, {**old, "name": "b"}).deleteBeforeReplace


def test_functions_say_who_and_where_one_is(plugin: Client) -> None:
    assert plugin.invoke("aws:index/getCallerIdentity:getCallerIdentity")[0]["accountId"] == "123456789012"
    assert plugin.invoke("aws:index/getRegion:getRegion")[0]["region"] == REGION
    assert plugin.invoke("aws:index/getPartition:getPartition")[0]["partition"] == "aws"


def test_a_registry_token_is_secret(plugin: Client) -> None:
    token, secrets = plugin.invoke("aws:ecr/getAuthorizationToken:getAuthorizationToken")
    assert token["userName"] == "AWS"
    assert secrets.paths == {("authorizationToken",), ("password",)}


def test_a_policy_document_is_arranged_as_iam_wants_it(alone: Client) -> None:
    statement = {
        "actions": ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
        "principals": [{"type": "AWS", "identifiers": ["arn:aws:iam::1:root"]}],
        "conditions": [{"test": "StringEquals", "variable": "aws:SourceAccount", "values": ["1"]}],
    }
    found, _ = alone.invoke("aws:iam/getPolicyDocument:getPolicyDocument", statements=[statement])
    assert json.loads(found["json"])["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
            "Principal": {"AWS": "arn:aws:iam::1:root"},
            "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
        }
    ]
