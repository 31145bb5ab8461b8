"""What both images' pods pull: built here, promoted from another stack, or set by digest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pulumi

from components.registry import ImageRegistry
from components.support.folder_hash import folder_hash
from components.support.placeholder_digest import PLACEHOLDER_DIGEST
from config.advice import has_cuda
from config.schema import BUILD_CONTEXT, DOCKERFILE, NETRC, BuildImages, GivenImages, PromoteImages
from config.schema import Images as ImageSource
from config.secrets import Secrets
from queues import EXECUTOR, IMAGES, WORKER

CUDA: Final = "executorHasCuda"  # the stack's output that a promoting stack reads
GIT_AUTH: Final = "GIT_AUTH_TOKEN"  # the build secret that BuildKit itself asks for when it fetches a git reference


@dataclass(frozen=True)
class FleetImagesArgs:
    """The arguments of FleetImages. `registry` is set when the images are built, of `celery_app`."""

    source: ImageSource
    registry: ImageRegistry | None
    celery_app: str
    secrets: Secrets = field(default_factory=Secrets)


class FleetImages(pulumi.ComponentResource):
    """A reference by digest for each image."""

    references: Mapping[str, pulumi.Output[str]]
    """`repository@sha256:…` by the image's name."""

    cuda: pulumi.Output[bool | None]
    """Whether the executor's torch is for GPUs; None where that is not known."""

    def __init__(self, name: str, args: FleetImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:FleetImages", name, None, opts)
        match args.source:
            case BuildImages() if args.registry is not None:
                self.references = self._built_references(args, args.source, args.registry)
                self.cuda = pulumi.Output.from_input(has_cuda(args.source))
            case PromoteImages():
                source_stack = self._source_stack(name, args.source)
                self.references = _promoted_references(source_stack, args.source)
                self.cuda = source_stack.get_output(CUDA)
            case GivenImages():
                self.references = {
                    WORKER.name: pulumi.Output.from_input(args.source.worker),
                    EXECUTOR.name: pulumi.Output.from_input(args.source.executor),
                }
                self.cuda = pulumi.Output.from_input(None)
            case _:
                raise TypeError(f"images that are built need a registry, got {args!r}")
        self.register_outputs({"references": dict(self.references)})

    def _built_references(
        self, args: FleetImagesArgs, source: BuildImages, registry: ImageRegistry
    ) -> Mapping[str, pulumi.Output[str]]:
        # Only a stack that builds pays for the import of the builder's classes.
        from components.multi_arch_image import MultiArchImage, MultiArchImageArgs

        contexts = source.all_contexts
        build_args = {**source.all_build_args(args.celery_app), **folder_hash_args(contexts)}
        return {
            image.name: MultiArchImage(
                image.name,
                MultiArchImageArgs(
                    repository_url=registry.urls[image.name],
                    target=image.target,
                    context=BUILD_CONTEXT,
                    dockerfile=DOCKERFILE,
                    platforms=source.platforms,
                    builder=source.builder,
                    build_args=build_args,
                    contexts=contexts,
                    secrets=build_secrets(args.secrets),
                    depends_on=(registry.repositories[image.name],),
                ),
                pulumi.ResourceOptions(parent=self),
            ).reference
            for image in IMAGES
        }

    def _source_stack(self, name: str, source: PromoteImages) -> pulumi.StackReference:
        return pulumi.StackReference(
            f"{name}-source", stack_name=source.stack, opts=pulumi.ResourceOptions(parent=self)
        )


def _promoted_references(
    source_stack: pulumi.StackReference, source: PromoteImages
) -> Mapping[str, pulumi.Output[str]]:
    images = source_stack.get_output("images")
    return {image.name: images.apply(_promoted_reference(image.name, source.stack)) for image in IMAGES}


def folder_hash_args(contexts: Mapping[str, str]) -> Mapping[str, str]:
    """Return a build argument for each context that is a folder. No Dockerfile reads it; it changes with the folder.

    Raises:
        pulumi.RunError: a folder cannot be read.
    """
    folders = {stage: Path(location) for stage, location in contexts.items()}
    try:
        return {f"CONTEXT_{stage}": folder_hash(folder) for stage, folder in folders.items() if folder.is_dir()}
    except OSError as error:
        raise pulumi.RunError(f"{error.filename}, a source of the images, cannot be read: {error.strerror}.") from None


def build_secrets(secrets: Secrets) -> Mapping[str, pulumi.Output[str]]:
    """Return the build's secrets by their BuildKit id; neither a layer nor plain state holds them."""
    available = {NETRC: secrets.netrc, GIT_AUTH: secrets.git_token}
    return {name: value for name, value in available.items() if value is not None}


def _promoted_reference(image: str, stack: str) -> Any:  # noqa: ANN401 a function for `apply`, whose type pulumi leaves open
    def reference(images: Mapping[str, str] | None) -> str:
        if images and image in images and not images[image].endswith(PLACEHOLDER_DIGEST):
            return images[image]
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(
                f"fleet:images.stack: {stack} has built no {image} yet; run `pulumi up` on that stack first."
            )
        pulumi.log.warn(f"{stack} has built no {image} yet; this preview shows a digest of zeros in its place.")
        return f"{image}@{PLACEHOLDER_DIGEST}"

    return reference
