"""One image: a Deployment that drains all its queues, scaled by an HPA (the `per-image` layout)."""

from dataclasses import dataclass

import pulumi

from components.support.kubernetes_object import deployment_object, kubernetes_object
from config.schema import Settings
from manifests import ImageReferences
from manifests.deployment import worker_deployment
from manifests.scaling import horizontal_pod_autoscaler, pod_disruption_budget
from manifests.workload import of_image
from queues import Image


@dataclass(frozen=True)
class ImageWorkerArgs:
    """What an image's worker needs to know."""

    settings: Settings
    image: Image
    images: ImageReferences


class ImageWorker(pulumi.ComponentResource):
    """The pods of one image in the `per-image` layout."""

    deployment: pulumi.CustomResource

    def __init__(self, name: str, args: ImageWorkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:ImageWorker", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        workload = of_image(args.settings, args.image)
        deployment = worker_deployment(args.settings, workload, args.images)
        self.deployment = deployment_object(name, deployment, args.settings.cluster, child)
        kubernetes_object(name, pod_disruption_budget(args.settings, workload), child)
        kubernetes_object(
            name,
            horizontal_pod_autoscaler(args.settings, workload),
            pulumi.ResourceOptions(parent=self, depends_on=[self.deployment]),
        )
        self.register_outputs({"deployment": workload.name})
