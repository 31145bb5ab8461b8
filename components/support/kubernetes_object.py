"""Registers a manifest as it stands, under the type that the provider gives its kind.

Not through the SDK's class of each kind: those check no manifest, and importing them takes 0.7 s of processor time in
every preview, two thirds of the program's own. What the classes would add is written here: the type's name, and that
what a Secret holds is secret.
"""

from typing import Final

import pulumi

from config.schema import Cluster
from manifests import Manifest

SECRET_FIELDS: Final = ("data", "stringData")


def kubernetes_object(name: str, manifest: Manifest, opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    """Register `manifest` under the logical `name`."""
    fields = dict(manifest)
    if manifest["kind"] == "Secret":
        fields |= {field: pulumi.Output.secret(manifest[field]) for field in SECRET_FIELDS if field in manifest}
        kept = pulumi.ResourceOptions(additional_secret_outputs=list(SECRET_FIELDS))
        opts = pulumi.ResourceOptions.merge(opts, kept)
    return pulumi.CustomResource(resource_type(manifest), name, fields, opts)


def resource_type(manifest: Manifest) -> str:
    """The provider's name for the manifest's kind; it calls the group that has no name `core`."""
    version = manifest["apiVersion"]
    return f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest['kind']}"


def deployment_object(
    name: str, manifest: Manifest, cluster: Cluster, opts: pulumi.ResourceOptions
) -> pulumi.CustomResource:
    """Register a Deployment, and wait for its pods unless the stack says that the cluster runs none."""
    if (seconds := manifest["spec"].get("progressDeadlineSeconds")) is not None:
        patience = pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s")
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(custom_timeouts=patience))
    return kubernetes_object(name, manifest if cluster.await_ready else without_waiting(manifest), opts)


def without_waiting(manifest: Manifest) -> Manifest:
    """The same object, which an update does not wait for: where no node runs pods, none ever becomes ready."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), "pulumi.com/skipAwait": "true"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
