"""Both images' ECR repositories, and the KMS key that encrypts them where the stack creates one."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import kms

from components.image_repository import ImageRepository, ImageRepositoryArgs
from config.schema import Registry
from queues import IMAGES

CREATE_KEY = "create"  # what a stack's `kmsKey` says instead of an ARN
KEY_DELETION_DAYS = 30


@dataclass(frozen=True)
class ImageRegistryArgs:
    """The arguments of an ImageRegistry."""

    registry: Registry
    partition: str
    tags: Mapping[str, str]
    protect: bool


class ImageRegistry(pulumi.ComponentResource):
    """One ECR repository an image."""

    repositories: Mapping[str, ImageRepository]
    """By the image's name."""
    urls: Mapping[str, pulumi.Output[str]]
    """Where images are pushed to: ECR's address, or that of the registry which stands in for it."""

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:ImageRegistry", name, None, opts)
        registry = args.registry
        key = self._kms_key(name, args) if registry.kms_key == CREATE_KEY else registry.kms_key
        self.repositories = {
            image.name: ImageRepository(
                image.name,
                ImageRepositoryArgs(
                    repository=image.name,
                    tags=args.tags,
                    encryption_key=key,
                    scan_on_push=registry.scan_on_push,
                    untagged_days=registry.untagged_days,
                    cache_days=registry.cache_days,
                    keep_images=registry.keep_images,
                    readers=registry.readers,
                    partition=args.partition,
                    protect=args.protect,
                ),
                pulumi.ResourceOptions(parent=self),
            )
            for image in IMAGES
        }
        self.urls = {
            image: repository.url
            if registry.address is None
            else pulumi.Output.from_input(f"{registry.address}/{image}")
            for image, repository in self.repositories.items()
        }
        self.register_outputs({"urls": dict(self.urls)})

    def _kms_key(self, name: str, args: ImageRegistryArgs) -> pulumi.Output[str]:
        key = kms.Key(
            name,
            description="Encrypts the images of the AlphaSwarm fleet",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        kms.Alias(name, name=f"alias/{name}", target_key_id=key.key_id, opts=pulumi.ResourceOptions(parent=self))
        return key.arn
