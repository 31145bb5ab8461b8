"""One queue: its Deployment, its disruption budget, and the scaler that alone owns the number of pods."""

from dataclasses import dataclass

import pulumi

from components.queue_scaler import QueueScaler, QueueScalerArgs
from components.support.kubernetes_object import deployment_object, kubernetes_object
from config.schema import Settings
from manifests import ImageReferences
from manifests.deployment import worker_deployment
from manifests.scaling import pod_disruption_budget
from manifests.workload import of_queue
from queues import Queue


@dataclass(frozen=True)
class QueueWorkerArgs:
    """What a queue's worker needs to know; `queue` is as the stack tunes it."""

    settings: Settings
    queue: Queue
    images: ImageReferences


class QueueWorker(pulumi.ComponentResource):
    """The pods of one queue in the `per-queue` layout."""

    deployment: pulumi.CustomResource
    scaler: QueueScaler

    def __init__(self, name: str, args: QueueWorkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:QueueWorker", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        workload = of_queue(args.queue)
        deployment = worker_deployment(args.settings, workload, args.images)
        self.deployment = deployment_object(name, deployment, args.settings.cluster, child)
        kubernetes_object(name, pod_disruption_budget(args.settings, workload), child)
        self.scaler = QueueScaler(
            name,
            QueueScalerArgs(args.settings, args.queue),
            pulumi.ResourceOptions(parent=self, depends_on=[self.deployment]),
        )
        self.register_outputs({"deployment": args.queue.deployment})
