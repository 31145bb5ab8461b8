"""The whole fleet of one stack."""

from dataclasses import dataclass
from typing import Any

import pulumi

from components.fleet_images import CUDA, FleetImages, FleetImagesArgs
from components.foundation import Foundation, FoundationArgs
from components.registry import ImageRegistry, ImageRegistryArgs
from components.unit import Unit, UnitArgs
from config.advice import unused_gpus
from config.schema import PromoteImages, Registry, Settings
from config.secrets import Secrets
from config.tuning import tuned_catalogue
from manifests.broker import host_and_port
from manifests.metadata import finops_labels
from manifests.plan import PlanInputs, UnitKind, plan
from manifests.workload import image_workload
from queues import QUEUES, Queue


@dataclass(frozen=True)
class FleetArgs:
    """The arguments of a Fleet."""

    settings: Settings
    secrets: Secrets


class Fleet(pulumi.ComponentResource):
    """Repositories, images, and the units of the plan."""

    outputs: dict[str, Any]
    """What the stack exports: names, addresses and digests, and no secret."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:Fleet", name, None, opts)
        settings, child = args.settings, pulumi.ResourceOptions(parent=self)
        queues = tuned_catalogue(settings)
        registry = self._registry(name, settings)
        images = FleetImages(name, FleetImagesArgs(settings.images, registry, settings.celery_app, args.secrets), child)
        references = images.references
        if isinstance(settings.images, PromoteImages):
            images.cuda.apply(lambda cuda: warn_of_unused_gpus(settings) if cuda is False else None)
        resources: dict[str, pulumi.Resource] = {}
        for unit in plan(settings, PlanInputs(references, args.secrets.broker_password), name):
            unit_opts = pulumi.ResourceOptions(parent=self, depends_on=[resources[other] for other in unit.depends_on])
            if unit.kind is UnitKind.FOUNDATION:
                resources[unit.name] = Foundation(unit.name, FoundationArgs(settings, unit), unit_opts)
            else:
                resources[unit.name] = Unit(unit.name, UnitArgs(unit, settings.cluster), unit_opts)
        self.outputs = {
            "namespace": settings.namespace,
            "layout": settings.layout,
            "brokerAddress": ":".join(map(str, host_and_port(settings))),
            "heavyQueues": sorted(queues.heavy_queues),
            "images": dict(references),
            CUDA: images.cuda,
            "repositoryUrls": repository_urls(registry, references),
            "queues": {queue.name: queue_output(settings, queue, references) for queue in queues.queues},
        }
        self.register_outputs(self.outputs)

    def _registry(self, name: str, settings: Settings) -> ImageRegistry | None:
        if settings.registry is None or settings.aws is None:
            return None
        return ImageRegistry(
            name,
            ImageRegistryArgs(
                settings.registry,
                settings.aws.partition,
                finops_labels(settings),
                protects_images(settings.registry, settings),
            ),
            pulumi.ResourceOptions(parent=self),
        )


def protects_images(registry: Registry, settings: Settings) -> bool:
    """Return whether the repositories are protected: what other accounts read from, their deployments depend on."""
    return settings.protect or (bool(registry.readers) if registry.protect is None else registry.protect)


def warn_of_unused_gpus(settings: Settings) -> None:
    """Say that the images of another stack use no GPU, where this one has some."""
    for sentence in unused_gpus(settings):
        pulumi.log.warn(sentence)


def repository_urls(registry: ImageRegistry | None, references: Any) -> dict[str, Any]:  # noqa: ANN401 outputs
    """Return the repositories that the stack owns, or those that it deploys from."""
    if registry is not None:
        return dict(registry.urls)
    return {image: reference.apply(lambda text: text.partition("@")[0]) for image, reference in references.items()}


def queue_output(settings: Settings, queue: Queue, references: Any) -> dict[str, Any]:  # noqa: ANN401 outputs
    """Return a queue's row of the stack's outputs: which image and Deployment drain it, and how far it scales."""
    image = QUEUES.image_of(queue.name)
    workload = image_workload(settings, image) if settings.layout == "per-image" else None
    return {
        "image": image.name,
        "reference": references[image.name],
        "deployment": workload.name if workload else queue.deployment,
        "concurrency": workload.concurrency if workload else queue.concurrency,
        "minReplicas": max(workload.min_replicas, 1) if workload else queue.min_replicas,
        "maxReplicas": workload.max_replicas if workload else queue.max_replicas,
    }
