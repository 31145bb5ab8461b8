"""Registers the plan's objects as they stand, under the type that the provider gives their kind.

Not through the SDK's class of each kind: those check no manifest, and importing them takes 0.7 s of processor time in
every preview, two thirds of the program's own. What the classes would add is written here: the type's name, and that
what a Secret holds is secret.
"""

from typing import Final

import pulumi

from config.schema import Cluster
from manifests import Manifest
from manifests.plan import PlannedObject, Unit

SECRET_FIELDS: Final = ("data", "stringData")


def register_objects(component: pulumi.ComponentResource, unit: Unit, cluster: Cluster) -> list[str]:
    """Register a unit's objects below `component`, in order, and return them as `Kind/name`."""
    made: dict[str, list[pulumi.Resource]] = {}
    for each in unit.objects:
        first = [resource for kind in each.after for resource in made.get(kind, [])]
        resource = _register(component, each, cluster, first)
        made.setdefault(each.manifest["kind"], []).append(resource)
    return [f"{each.manifest['kind']}/{each.manifest['metadata']['name']}" for each in unit.objects]


def _register(
    component: pulumi.ComponentResource, planned: PlannedObject, cluster: Cluster, first: list[pulumi.Resource]
) -> pulumi.CustomResource:
    manifest = planned.manifest
    is_deployment = manifest["kind"] == "Deployment"
    if is_deployment and not cluster.await_ready:
        manifest = without_waiting(manifest)
    fields = dict(manifest)
    if planned.secret:
        fields |= {field: pulumi.Output.secret(manifest[field]) for field in SECRET_FIELDS if field in manifest}
    opts = pulumi.ResourceOptions(
        parent=component,
        depends_on=first,
        protect=planned.protect,
        aliases=_aliases(component, planned),
        custom_timeouts=_rollout_timeouts(manifest) if is_deployment else None,
        additional_secret_outputs=list(SECRET_FIELDS) if planned.secret else None,
    )
    return pulumi.CustomResource(resource_type(manifest), planned.name, fields, opts)


def _aliases(component: pulumi.ComponentResource, planned: PlannedObject) -> list[pulumi.Alias]:
    """Where the object stood in the state before; may go once every stack was updated with it."""
    if planned.formerly_below is None:
        return []
    parent = pulumi.create_urn(planned.name, f"alphaswarm:fleet:{planned.formerly_below}", parent=component)
    return [pulumi.Alias(parent=parent)]


def _rollout_timeouts(manifest: Manifest) -> pulumi.CustomTimeouts | None:
    """As long as the Deployment itself says that a rollout may take."""
    seconds = manifest["spec"].get("progressDeadlineSeconds")
    return None if seconds is None else pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s")


def resource_type(manifest: Manifest) -> str:
    """Return the provider's name for the manifest's kind; it calls the group that has no name `core`."""
    version = manifest["apiVersion"]
    return f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest['kind']}"


def without_waiting(manifest: Manifest) -> Manifest:
    """Return the same object, which an update does not wait for: where no node runs pods, none ever becomes ready."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), "pulumi.com/skipAwait": "true"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
