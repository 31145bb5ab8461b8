"""What every workload depends on: the plan's foundation, and the roles that its service accounts may assume."""

from dataclasses import dataclass

import pulumi

from components.support.registration import register_objects
from components.workload_identity import WorkloadIdentity, WorkloadIdentityArgs
from config.identity import role_name
from config.schema import Aws, Identity, Settings
from manifests.metadata import finops_labels
from manifests.plan import Unit as PlannedUnit
from queues import EXECUTOR, IMAGES, WORKER, Image


@dataclass(frozen=True)
class FoundationArgs:
    """The arguments of a Foundation."""

    settings: Settings
    unit: PlannedUnit


class Foundation(pulumi.ComponentResource):
    """The namespace with its service accounts, network policies, priorities and quota, and an IAM role an image."""

    def __init__(self, name: str, args: FoundationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:Foundation", name, None, opts)
        settings = args.settings
        if settings.identity is not None and settings.aws is not None:
            for image in IMAGES:
                WorkloadIdentity(
                    image.name,
                    identity_args(image, settings, settings.identity, settings.aws),
                    pulumi.ResourceOptions(parent=self),
                )
        objects = register_objects(self, args.unit, settings.cluster)
        self.register_outputs({"objects": objects})


def identity_args(image: Image, settings: Settings, identity: Identity, aws: Aws) -> WorkloadIdentityArgs:
    """Return the arguments of the IAM role of an image's service account."""
    policies = {WORKER.name: identity.worker_policies, EXECUTOR.name: identity.executor_policies}
    return WorkloadIdentityArgs(
        role=role_name(settings.namespace, settings.environment, image),
        namespace=settings.namespace,
        service_account=image.name,
        oidc_provider_arn=identity.oidc_provider_arn,
        pod_identity_cluster=identity.pod_identity_cluster,
        partition=aws.partition,
        region=aws.region,
        account_id=aws.account_id,
        tags=finops_labels(settings),
        policies=policies[image.name],
        permissions_boundary=identity.permissions_boundary,
    )
