"""One ECR repository: immutable tags, images that are scanned, and old ones that expire.

Build caches are tagged `cache-…` and overwritten by each build, so those tags alone are excluded from immutability.
Units: days, and numbers of images.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_aws import ecr

CACHE_TAGS: Final = "cache-"
PULL_ACTIONS: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:GetDownloadUrlForLayer",
)


@dataclass(frozen=True)
class ImageRepositoryArgs:
    """The arguments of an ImageRepository."""

    repository: str
    tags: Mapping[str, str]
    encryption_key: pulumi.Input[str] | None = None  # a KMS key's ARN; without it ECR's AES-256
    scan_on_push: bool = True
    untagged_days: int = 14
    cache_days: int = 30
    keep_images: int = 500
    readers: tuple[str, ...] = ()  # account ids that may pull
    partition: str = "aws"
    protect: bool = False


class ImageRepository(pulumi.ComponentResource):
    """An ECR repository with its lifecycle policy, and a repository policy where other accounts may pull."""

    url: pulumi.Output[str]
    """Where images are pushed to and pulled from, without a tag."""
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: ImageRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:ImageRepository", name, None, opts)
        repository = ecr.Repository(
            name,
            name=args.repository,
            image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
            image_tag_mutability_exclusion_filters=[
                ecr.RepositoryImageTagMutabilityExclusionFilterArgs(filter=f"{CACHE_TAGS}*", filter_type="WILDCARD")
            ],
            image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=args.scan_on_push),
            encryption_configurations=[
                ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
                if args.encryption_key is None
                else ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=args.encryption_key)
            ],
            force_delete=not args.protect,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        ecr.LifecyclePolicy(
            name,
            repository=repository.name,
            policy=json.dumps(lifecycle_policy(args)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.readers:
            ecr.RepositoryPolicy(
                name,
                repository=repository.name,
                policy=json.dumps(repository_policy(args.readers, args.partition)),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.url, self.arn = repository.repository_url, repository.arn
        self.register_outputs({"url": self.url, "arn": self.arn})


def lifecycle_policy(args: ImageRepositoryArgs) -> dict[str, object]:
    """Return ECR's lifecycle policy: untagged images, old build caches and all but the newest tagged images expire.

    A rule for any tag must have the last priority, and the first rule that matches an image decides.
    """
    since_push = {"countType": "sinceImagePushed", "countUnit": "days"}
    rules: list[tuple[str, dict[str, object]]] = [
        (
            f"build caches older than {args.cache_days} days",
            {"tagStatus": "tagged", "tagPrefixList": [CACHE_TAGS], **since_push, "countNumber": args.cache_days},
        ),
        (
            f"untagged images older than {args.untagged_days} days",
            {"tagStatus": "untagged", **since_push, "countNumber": args.untagged_days},
        ),
        (
            f"all but the newest {args.keep_images} images",
            {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": args.keep_images},
        ),
    ]
    return {
        "rules": [
            {"rulePriority": number, "description": text, "selection": selection, "action": {"type": "expire"}}
            for number, (text, selection) in enumerate(rules, start=1)
        ]
    }


def repository_policy(accounts: tuple[str, ...], partition: str) -> dict[str, object]:
    """Return the repository policy that lets other accounts pull, and do nothing else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PullFromOtherAccounts",
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:{partition}:iam::{account}:root" for account in sorted(accounts)]},
                "Action": list(PULL_ACTIONS),
            }
        ],
    }
