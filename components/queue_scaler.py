"""KEDA's scaler of one queue, with demand as waiting plus running tasks."""

from dataclasses import dataclass

import pulumi

from components.support.kubernetes_object import kubernetes_object
from config.schema import Settings
from manifests.scaling import scaled_object
from queues import Queue


@dataclass(frozen=True)
class QueueScalerArgs:
    """What a scaler needs to know; `queue` is as the stack tunes it."""

    settings: Settings
    queue: Queue


class QueueScaler(pulumi.ComponentResource):
    """The ScaledObject of a queue's Deployment, which must be there first: KEDA adopts its number of pods."""

    scaled_object: pulumi.CustomResource

    def __init__(self, name: str, args: QueueScalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:QueueScaler", name, None, opts)
        self.scaled_object = kubernetes_object(
            name, scaled_object(args.settings, args.queue), pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({"minReplicas": args.queue.min_replicas, "maxReplicas": args.queue.max_replicas})
