"""One image for several platforms: built per platform, pushed by digest, and joined under one tag.

A preview never builds: it neither needs nor dials a builder. The tag derives from what is built, so unchanged source
is an unchanged tag. The index stays in the registry when it is replaced: two tags of the same content share a digest,
and deleting the old one would take the new one along. Registry credentials are the host's own login (Docker's
configuration or a credential helper), never an argument: a token changes with each run and would land in the state.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_docker_build as docker_build

from components.image_repository import CACHE_TAGS
from components.unbuilt import UNBUILT

TAG_LENGTH: Final = 16
# Zstandard packs the executor's 2 GB in seconds where gzip takes minutes; the typed field drops it without a level.
EXPORT: Final = "type=registry,name={repository},push-by-digest=true,oci-mediatypes=true,compression=zstd"


@dataclass(frozen=True)
class MultiArchImageArgs:
    """What a multi-arch image needs. Paths are relative, or a laptop and CI would see a difference."""

    repository_url: pulumi.Input[str]
    target: str
    context: str
    dockerfile: str
    platforms: tuple[str, ...]
    builder: str | None = None
    contexts: Mapping[str, str] = field(default_factory=dict)  # BuildKit's named contexts
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    after: tuple[pulumi.Resource, ...] = ()  # the repository


class MultiArchImage(pulumi.ComponentResource):
    """An image index in the repository, and the reference to deploy."""

    reference: pulumi.Output[str]
    """`repository@sha256:…`; a tag alone would roll pods whenever it changes."""

    def __init__(self, name: str, args: MultiArchImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:MultiArchImage", name, None, opts)
        repository = pulumi.Output.from_input(args.repository_url)
        images = [self._image(name, args, platform, repository) for platform in args.platforms]
        index = docker_build.Index(
            name,
            sources=[
                pulumi.Output.concat(repository, "@", image.digest.apply(lambda digest: digest or UNBUILT))
                for image in images
            ],
            tag=pulumi.Output.concat(repository, ":", content_tag(args, images)),
            push=True,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        self.reference = pulumi.Output.all(repository, index.ref).apply(lambda both: by_digest(*both))
        self.register_outputs({"reference": self.reference})

    def _image(
        self, name: str, args: MultiArchImageArgs, platform: str, repository: pulumi.Output[str]
    ) -> docker_build.Image:
        arch = platform.rpartition("/")[2]
        cache = repository.apply(lambda url: f"{url}:{CACHE_TAGS}{arch}")
        return docker_build.Image(
            f"{name}-{arch}",
            push=False,  # the export below pushes, by digest and without a tag
            build_on_preview=False,
            builder=docker_build.BuilderConfigArgs(name=args.builder) if args.builder else None,
            context=docker_build.BuildContextArgs(
                location=args.context,
                named={stage: docker_build.ContextArgs(location=location) for stage, location in args.contexts.items()},
            ),
            dockerfile=docker_build.DockerfileArgs(location=args.dockerfile),
            target=args.target,
            platforms=[docker_build.Platform(platform)],
            build_args=args.build_args,
            secrets=args.secrets,
            ignore_secrets_in_diff_calculation=sorted(args.secrets),
            cache_from=[docker_build.CacheFromArgs(registry=docker_build.CacheFromRegistryArgs(ref=cache))],
            cache_to=[
                docker_build.CacheToArgs(
                    registry=docker_build.CacheToRegistryArgs(
                        ref=cache,
                        mode=docker_build.CacheMode.MIN,
                        image_manifest=True,
                        oci_media_types=True,
                        ignore_error=True,
                    )
                )
            ],
            exports=[docker_build.ExportArgs(raw=repository.apply(lambda url: EXPORT.format(repository=url)))],
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after), retain_on_delete=True),
        )


def content_tag(args: MultiArchImageArgs, images: list[docker_build.Image]) -> pulumi.Output[str]:
    """A tag that changes with the source and with what it is built with."""
    given = [args.target, *sorted(f"{key}={value}" for key, value in args.build_args.items())]
    return pulumi.Output.all(*(image.context_hash for image in images)).apply(
        lambda hashes: hashlib.sha256("\n".join([*given, *hashes]).encode()).hexdigest()[:TAG_LENGTH]
    )


def by_digest(repository: str, reference: str) -> str:
    """`repository@digest` of an index's `repository:tag@digest`, which a preview may know without its digest."""
    return f"{repository}@{reference.partition('@')[2] or UNBUILT}"
