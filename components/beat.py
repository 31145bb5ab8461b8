"""Celery's scheduler: one pod of the worker image."""

from dataclasses import dataclass

import pulumi

from components.support.kubernetes_object import deployment_object
from config.schema import Settings
from manifests import ImageReferences
from manifests.deployment import beat_deployment


@dataclass(frozen=True)
class BeatArgs:
    """What the scheduler needs to know."""

    settings: Settings
    images: ImageReferences


class Beat(pulumi.ComponentResource):
    """Exactly one scheduler."""

    deployment: pulumi.CustomResource

    def __init__(self, name: str, args: BeatArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:Beat", name, None, opts)
        deployment = beat_deployment(args.settings, args.images)
        self.deployment = deployment_object(
            name, deployment, args.settings.cluster, pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({"deployment": deployment["metadata"]["name"]})
