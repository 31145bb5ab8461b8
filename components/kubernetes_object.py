"""Registers a manifest as the provider's own typed resource."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi_kubernetes import apiextensions, apps, autoscaling, core, networking, policy, scheduling

from manifests import Manifest
from settings import Cluster

Factory = type[pulumi.CustomResource]

KINDS: Final[Mapping[tuple[str, str], Factory]] = {
    ("v1", "Namespace"): core.v1.Namespace,
    ("v1", "ServiceAccount"): core.v1.ServiceAccount,
    ("v1", "Secret"): core.v1.Secret,
    ("v1", "Service"): core.v1.Service,
    ("v1", "ResourceQuota"): core.v1.ResourceQuota,
    ("apps/v1", "Deployment"): apps.v1.Deployment,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): autoscaling.v2.HorizontalPodAutoscaler,
    ("policy/v1", "PodDisruptionBudget"): policy.v1.PodDisruptionBudget,
    ("networking.k8s.io/v1", "NetworkPolicy"): networking.v1.NetworkPolicy,
    ("scheduling.k8s.io/v1", "PriorityClass"): scheduling.v1.PriorityClass,
    ("keda.sh/v1alpha1", "ScaledObject"): apiextensions.CustomResource,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): apiextensions.CustomResource,
}
CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def kubernetes_object(name: str, manifest: Manifest, opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    """Register `manifest` under the logical `name`. Raises KeyError for a kind that no manifest has."""
    factory = KINDS[manifest["apiVersion"], manifest["kind"]]
    fields = {_argument(field): value for field, value in manifest.items() if field not in ("apiVersion", "kind")}
    if factory is apiextensions.CustomResource:
        fields |= {"api_version": manifest["apiVersion"], "kind": manifest["kind"]}
    resource: Any = factory
    registered: pulumi.CustomResource = resource(name, opts=opts, **fields)
    return registered


def deployment_object(
    name: str, manifest: Manifest, cluster: Cluster, opts: pulumi.ResourceOptions
) -> pulumi.CustomResource:
    """Register a Deployment, and wait for its pods unless the stack says that the cluster runs none."""
    return kubernetes_object(name, manifest if cluster.await_ready else without_waiting(manifest), opts)


def without_waiting(manifest: Manifest) -> Manifest:
    """The same object, which an update does not wait for: where no node runs pods, none ever becomes ready."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), "pulumi.com/skipAwait": "true"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _argument(field: str) -> str:
    return CAPITAL.sub(lambda match: f"_{match[1].lower()}", field)
