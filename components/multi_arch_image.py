"""One image for several platforms: built per platform, pushed by digest, and joined by an index with one tag.

A preview never builds: it neither needs nor dials a builder. The tag derives from the digests, so that it never moves:
ECR refuses a tag that does. The index stays in the registry when it is replaced: two tags of the same content share a
digest, and deleting the old one would take the new one along. Registry credentials are the host's own login (Docker's
configuration or a credential helper), never an argument: a token changes with each run and would land in the state.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_docker_build as docker_build

from components.image_repository import CACHE_TAGS
from components.support.placeholder_digest import PLACEHOLDER_DIGEST

TAG_LENGTH: Final = 16
# Zstandard packs the executor's 2 GB in seconds where gzip takes minutes. BuildKit's encoder has few levels;
# 6 is the second one, which searches longer.
EXPORT: Final = (
    "type=registry,name={repository},push-by-digest=true,oci-mediatypes=true,compression=zstd,compression-level=6"
)


@dataclass(frozen=True)
class MultiArchImageArgs:
    """The arguments of a MultiArchImage. Paths are relative, or a laptop and CI would see a difference."""

    repository_url: pulumi.Input[str]
    target: str
    context: str
    dockerfile: str
    platforms: tuple[str, ...]
    builder: str | None = None
    contexts: Mapping[str, str] = field(default_factory=dict)  # BuildKit's named contexts
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    depends_on: tuple[pulumi.Resource, ...] = ()  # the repository


class MultiArchImage(pulumi.ComponentResource):
    """An image index in the repository, and the reference to deploy."""

    reference: pulumi.Output[str]
    """`repository@sha256:…`; a tag alone would roll pods whenever it changes."""

    def __init__(self, name: str, args: MultiArchImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:MultiArchImage", name, None, opts)
        repository = pulumi.Output.from_input(args.repository_url)
        images = [self._image(name, args, platform, repository) for platform in args.platforms]
        digests = [image.digest.apply(lambda digest: digest_or_placeholder(name, digest)) for image in images]
        index = docker_build.Index(
            name,
            sources=[pulumi.Output.concat(repository, "@", digest) for digest in digests],
            tag=pulumi.Output.concat(repository, ":", content_tag(digests)),
            push=True,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        self.reference = pulumi.Output.all(repository, index.ref).apply(
            lambda both: f"{both[0]}@{digest_or_placeholder(name, both[1].partition('@')[2])}"
        )
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
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on), retain_on_delete=True),
        )


def content_tag(digests: list[pulumi.Output[str]]) -> pulumi.Output[str]:
    """Return a tag that is the same for the same digests, and for no others."""
    return pulumi.Output.all(*digests).apply(
        lambda known: hashlib.sha256("\n".join(known).encode()).hexdigest()[:TAG_LENGTH]
    )


def digest_or_placeholder(image: str, digest: str | None) -> str:
    """Return the digest, or in a preview a placeholder where there is none.

    Raises:
        pulumi.RunError: an update has no digest. The provider drops a digest that it may not read, and pods would be
            sent to pull one that does not exist.
    """
    if digest:
        return digest
    if pulumi.runtime.is_dry_run():
        return PLACEHOLDER_DIGEST
    raise pulumi.RunError(
        f"The registry did not say which digest {image} has. Log in to it on this machine, then run the same command "
        "again; nothing was rolled."
    )
