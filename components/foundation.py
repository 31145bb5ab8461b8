"""The namespace and what stands in it before any workload: identities, network rules, priorities, quota."""

from dataclasses import dataclass

import pulumi

from components.kubernetes_object import kubernetes_object
from components.workload_identity import WorkloadIdentity, WorkloadIdentityArgs
from manifests.foundation import namespace, network_policies, priority_classes, resource_quota, service_account
from manifests.metadata import finops_labels
from queues import EXECUTOR, IMAGES, WORKER, Image, Priority
from settings import Aws, Identity, Settings, role_name


@dataclass(frozen=True)
class FoundationArgs:
    """What the foundation needs to know."""

    settings: Settings


class Foundation(pulumi.ComponentResource):
    """Everything that workloads need to be there first."""

    namespace: pulumi.CustomResource

    def __init__(self, name: str, args: FoundationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:Foundation", name, None, opts)
        settings = args.settings
        self.namespace = kubernetes_object(
            f"{name}-namespace",
            namespace(settings),
            pulumi.ResourceOptions(parent=self, protect=settings.protect),
        )
        inside = pulumi.ResourceOptions(parent=self, depends_on=[self.namespace])
        roles = {image.name: self._role(image, settings) for image in IMAGES}
        for image in IMAGES:
            kubernetes_object(image.name, service_account(settings, image, roles[image.name]), inside)
        for priority, manifest in zip(Priority, priority_classes(settings), strict=True):
            kubernetes_object(f"{name}-{priority.name.lower()}-priority", manifest, pulumi.ResourceOptions(parent=self))
        for policy in network_policies(settings):
            kubernetes_object(f"{name}-{policy['metadata']['name']}", policy, inside)
        kubernetes_object(f"{name}-quota", resource_quota(settings), inside)
        self.register_outputs({"namespace": settings.namespace})

    def _role(self, image: Image, settings: Settings) -> pulumi.Output[str] | None:
        if settings.identity is None or settings.aws is None:
            return None
        identity = WorkloadIdentity(
            image.name,
            identity_args(image, settings, settings.identity, settings.aws),
            pulumi.ResourceOptions(parent=self),
        )
        return identity.role_arn


def identity_args(image: Image, settings: Settings, identity: Identity, aws: Aws) -> WorkloadIdentityArgs:
    """The role of an image's service account."""
    policies = {WORKER.name: identity.worker_policies, EXECUTOR.name: identity.executor_policies}
    return WorkloadIdentityArgs(
        role=role_name(settings.namespace, settings.environment, image),
        namespace=settings.namespace,
        service_account=image.name,
        oidc_provider_arn=identity.oidc_provider_arn,
        region=aws.region,
        account_id=aws.account_id,
        tags=finops_labels(settings),
        policies=policies[image.name],
        permissions_boundary=identity.permissions_boundary,
    )
