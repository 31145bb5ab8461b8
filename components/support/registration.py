"""Registers the plan's manifests unchanged, as custom resources with the provider's type token of their kind.

Not through the SDK's class of each kind: those check no manifest, and importing them takes 0.7 s of processor time in
every preview, two thirds of the program's own. What the classes would add is written here: the type token, and that
what a Secret holds is secret.
"""

from typing import Final

import pulumi

from components.support.rollout_guard import rollout_guard
from config.schema import Cluster
from manifests import Manifest
from manifests.plan import PlannedObject, Unit

SECRET_FIELDS: Final = ("data", "stringData")


def register_objects(component: pulumi.ComponentResource, unit: Unit, cluster: Cluster) -> list[str]:
    """Register a unit's objects below `component`, in order, and return them as `Kind/name`."""
    registered: dict[str, list[pulumi.Resource]] = {}
    for planned in unit.objects:
        depends_on = [resource for kind in planned.depends_on for resource in registered.get(kind, [])]
        resource = _register(component, planned, cluster, depends_on)
        registered.setdefault(planned.manifest["kind"], []).append(resource)
    return [f"{planned.manifest['kind']}/{planned.manifest['metadata']['name']}" for planned in unit.objects]


def _register(
    component: pulumi.ComponentResource, planned: PlannedObject, cluster: Cluster, depends_on: list[pulumi.Resource]
) -> pulumi.CustomResource:
    manifest = planned.manifest
    is_deployment = manifest["kind"] == "Deployment"
    if is_deployment and not cluster.await_ready:
        manifest = with_skip_await(manifest)
    fields = dict(manifest)
    if planned.secret:
        fields |= {field: pulumi.Output.secret(manifest[field]) for field in SECRET_FIELDS if field in manifest}
    opts = pulumi.ResourceOptions(
        parent=component,
        depends_on=depends_on,
        protect=planned.protect,
        aliases=_aliases(component, planned),
        ignore_changes=list(planned.ignore_changes) or None,
        custom_timeouts=_rollout_timeouts(manifest) if is_deployment else None,
        additional_secret_outputs=list(SECRET_FIELDS) if planned.secret else None,
        hooks=rollout_guard(planned.name, planned.sessions) if planned.sessions else None,
    )
    return pulumi.CustomResource(type_token(manifest), planned.name, fields, opts)


def _aliases(component: pulumi.ComponentResource, planned: PlannedObject) -> list[pulumi.Alias]:
    """Return the URN under the object's former parent; may go once every stack was updated with it."""
    if planned.alias_parent is None:
        return []
    parent = pulumi.create_urn(planned.name, f"alphaswarm:fleet:{planned.alias_parent}", parent=component)
    return [pulumi.Alias(parent=parent)]


def _rollout_timeouts(manifest: Manifest) -> pulumi.CustomTimeouts | None:
    """Return timeouts as long as the Deployment's own `progressDeadlineSeconds`."""
    seconds = manifest["spec"].get("progressDeadlineSeconds")
    return None if seconds is None else pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s")


def type_token(manifest: Manifest) -> str:
    """Return the provider's type token of the manifest's kind; it calls the group that has no name `core`."""
    version = manifest["apiVersion"]
    return f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest['kind']}"


def with_skip_await(manifest: Manifest) -> Manifest:
    """Return the manifest with `skipAwait`: where no node runs pods, no Deployment ever becomes ready."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), "pulumi.com/skipAwait": "true"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
