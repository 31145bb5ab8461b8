"""The two ECR repositories and their key: tags that cannot move, images that are scanned, old ones that go."""

import json
from typing import Any

import pytest

from tests.program.harness import Program, configuration, program, run, secrets_of

REPOSITORY = "aws:ecr/repository:Repository"
IMAGES = ("alphaswarm-worker", "alphaswarm-executor")
KEY = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"


def dev(**registry: Any) -> Program:  # noqa: ANN401 any configuration
    """The building stack with another registry."""
    return run(configuration("dev", registry=registry), secrets_of("dev"))


def lifecycle(found: Program, image: str) -> list[dict[str, Any]]:
    """The rules of an image's lifecycle, in the order of their priority."""
    policy = json.loads(found.one("aws:ecr/lifecyclePolicy:LifecyclePolicy", image).inputs["policy"])
    return sorted(policy["rules"], key=lambda rule: int(rule["rulePriority"]))


@pytest.mark.parametrize("stack", ["local", "dev"])
@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_a_building_stack_has_one_scanned_immutable_repository_an_image(stack: str, layout: str) -> None:
    repositories = program(stack, layout).every(REPOSITORY)
    assert {one.name: one.inputs["name"] for one in repositories} == dict(zip(IMAGES, IMAGES, strict=True))
    for one in repositories:
        assert one.inputs["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION", "a deployed tag could be moved"
        assert one.inputs["imageTagMutabilityExclusionFilters"] == [{"filter": "cache-*", "filterType": "WILDCARD"}]
        assert one.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
        assert one.inputs["tags"].keys() == {"project", "cost_center", "owner", "data_classification"}


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_a_promoting_stack_owns_no_repository_and_builds_nothing(stack: str) -> None:
    types = {one.type for one in program(stack).registrations}
    assert not {kind for kind in types if kind.startswith(("aws:ecr", "aws:kms", "docker-build"))}


def test_images_are_encrypted_with_a_key_of_the_stacks_own_that_rotates() -> None:
    found = program("dev")
    (key,) = found.every("aws:kms/key:Key")
    assert key.inputs["enableKeyRotation"] is True
    assert key.inputs["deletionWindowInDays"] == 30
    (alias,) = found.every("aws:kms/alias:Alias")
    assert alias.inputs["name"] == "alias/alphaswarm"
    for one in found.every(REPOSITORY):
        assert one.inputs["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": KEY}]
        assert key.urn in one.dependencies


def test_a_given_key_is_used_and_none_is_made() -> None:
    given = "arn:aws:kms:eu-central-1:111122223333:key/given"
    found = dev(kmsKey=given)
    assert found.count("aws:kms/key:Key") == 0
    for one in found.every(REPOSITORY):
        assert one.inputs["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": given}]


def test_without_a_key_ecr_encrypts_with_its_own() -> None:
    for one in program("local").every(REPOSITORY):
        assert one.inputs["encryptionConfigurations"] == [{"encryptionType": "AES256"}]


def test_caches_go_first_then_untagged_then_the_oldest() -> None:
    found = dev(cacheDays=7, untaggedDays=3, keepImages=42)
    for image in IMAGES:
        selections = [rule["selection"] for rule in lifecycle(found, image)]
        assert selections == [
            {
                "tagStatus": "tagged", "tagPrefixList": ["cache-"],
                "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7,
            },
            {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 3},
            {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 42},
        ]  # fmt: skip
        assert {rule["action"]["type"] for rule in lifecycle(found, image)} == {"expire"}


def test_only_the_named_accounts_may_pull_and_none_may_push() -> None:
    for one in program("dev").every("aws:ecr/repositoryPolicy:RepositoryPolicy"):
        (statement,) = json.loads(one.inputs["policy"])["Statement"]
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"AWS": ["arn:aws:iam::222233334444:root", "arn:aws:iam::333344445555:root"]}
        assert {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} <= set(statement["Action"])
        forbidden = ("Put", "Upload", "Delete", "Initiate", "Complete", "*")
        assert not [action for action in statement["Action"] if any(word in action for word in forbidden)]
    assert program("dev").count("aws:ecr/repositoryPolicy:RepositoryPolicy") == 2
    assert program("local").count("aws:ecr/repositoryPolicy:RepositoryPolicy") == 0


def test_repositories_that_others_read_from_are_kept_unless_the_stack_says_otherwise() -> None:
    protected = {one.name for one in program("dev").registrations if one.protect}
    assert protected == {*IMAGES, "alphaswarm"}, "destroying dev would take the images that prod runs"
    open_one = dev(protect=False)
    assert not [one.name for one in open_one.registrations if one.protect]
    assert {one.inputs["forceDelete"] for one in open_one.every(REPOSITORY)} == {True}


def test_a_protected_stack_keeps_repositories_key_and_namespace_and_an_open_one_lets_go() -> None:
    shielded = run(configuration("dev", protect=True), secrets_of("dev"))
    protected = {(one.type, one.name) for one in shielded.registrations if one.protect}
    assert protected == {
        *((REPOSITORY, image) for image in IMAGES),
        ("aws:kms/key:Key", "alphaswarm"),
        ("kubernetes:core/v1:Namespace", "alphaswarm-namespace"),
    }
    assert {one.inputs["forceDelete"] for one in shielded.every(REPOSITORY)} == {False}
    assert not [one.name for one in program("local").registrations if one.protect]
    assert {one.inputs["forceDelete"] for one in program("local").every(REPOSITORY)} == {True}


def test_production_protects_what_holds_state() -> None:
    assert {one.name for one in program("prod").registrations if one.protect} == {"alphaswarm-namespace"}


def test_a_standing_in_registry_is_where_images_are_pushed_to() -> None:
    found = dev(address="127.0.0.1:5000")
    assert found.exports["repositoryUrls"] == {image: f"127.0.0.1:5000/{image}" for image in IMAGES}
    assert (
        found.one("docker-build:index:Index", "alphaswarm-worker")
        .inputs["tag"]
        .startswith("127.0.0.1:5000/alphaswarm-worker:")
    )
