"""What the stand-in knows of Kubernetes objects, as pure functions: immutable fields, drift, readiness.

The API server changes what it gets (defaults, `1000m` to `1`, empty lists dropped), and controllers set fields of
their own (an autoscaler the replicas). So of a live object only the fields are compared that the program sets, and
values that are only written in another way are equal.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from offline.providers.diff import Diff, diff_of, property_diffs
from offline.providers.values import Json, Object, Path, at

SKIP_AWAIT = "pulumi.com/skipAwait"
FORCE = "pulumi.com/patchForce"
AUTONAMED = "pulumi.com/autonamed"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
FIELD_MANAGER_KEY = "__fieldManager"

IDENTITY: tuple[Path, ...] = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
IMMUTABLE: dict[str, tuple[Path, ...]] = {
    "ClusterRoleBinding": (("roleRef",),),
    "ConfigMap": (("data",), ("binaryData",)),
    "DaemonSet": (("spec", "selector"),),
    "Deployment": (("spec", "selector"),),
    "EndpointSlice": (("addressType",),),
    "Job": (("spec", "selector"), ("spec", "template"), ("spec", "completionMode")),
    "PersistentVolumeClaim": (
        ("spec", "accessModes"),
        ("spec", "selector"),
        ("spec", "storageClassName"),
        ("spec", "volumeMode"),
        ("spec", "volumeName"),
    ),
    "PriorityClass": (("value",), ("preemptionPolicy",)),
    "ReplicaSet": (("spec", "selector"),),
    "RoleBinding": (("roleRef",),),
    "Secret": (("data",), ("stringData",), ("type",)),
    "Service": (("spec", "clusterIP"), ("spec", "clusterIPs")),
    "StatefulSet": (("spec",),),
    "StorageClass": (("parameters",), ("provisioner",), ("reclaimPolicy",), ("volumeBindingMode",)),
}
# A StatefulSet is the other way round: only these of its spec can change.
STATEFUL_SET_MUTABLE = frozenset(
    {"replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals"}
    | {"revisionHistoryLimit"}
)
CLUSTER_SCOPED = frozenset(
    {
        *("APIService", "CSIDriver", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "IngressClass"),
        *("MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass", "RuntimeClass"),
        *("StorageClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        "ValidatingWebhookConfiguration",
    }
)
SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")

QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(m|u|n|k|M|G|T|P|E|[KMGTPE]i|[eE][+-]?\d+)?$")
SCALES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(1000)}
SCALES |= {unit: Decimal(1000) ** power for power, unit in enumerate("MGTPE", 2)}
SCALES |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
QUANTITY_PARENTS = frozenset(
    {"limits", "requests", "hard", "default", "defaultRequest", "max", "min", "overhead", "capacity"}
)
QUANTITY_KEYS = frozenset({"averageValue", "sizeLimit", "divisor"})
MERGE_KEYS = ("name", "containerPort", "mountPath", "port", "type", "topologyKey", "ip")


def annotation(inputs: Mapping[str, Any], key: str) -> str:
    """Return an annotation of the object; the empty string when there is none."""
    return str(at(inputs, ("metadata", "annotations", key)) or "")


def identity(inputs: Mapping[str, Any], default_namespace: str) -> tuple[str, str, str | None, str]:
    """Return apiVersion, kind, namespace (None for a cluster-scoped kind) and name."""
    kind, metadata = str(inputs.get("kind")), inputs.get("metadata") or {}
    namespace = None if kind in CLUSTER_SCOPED else str(metadata.get("namespace") or default_namespace)
    return str(inputs.get("apiVersion")), kind, namespace, str(metadata.get("name"))


def field_manager(urn: str) -> str:
    """Return the resource's field manager: the same for all its life, and no other resource's."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def autonamed(inputs: Object, old: Object, name: str, seed: bytes) -> Object:
    """Return the inputs with a name: their own, else the last one, else `name` and eight hexadecimal digits."""
    metadata = dict(inputs.get("metadata") or {})
    if metadata.get("name") or metadata.get("generateName"):
        return inputs
    kept = at(old, ("metadata", "name")) if annotation(old, AUTONAMED) else None
    metadata["name"] = kept or f"{name}-{hashlib.sha256(seed).hexdigest()[:8]}"
    metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return {**inputs, "metadata": metadata}


def diff(old: Object, new: Object, default_namespace: str, mutable: frozenset[str] = frozenset()) -> Diff:
    """Compare inputs. A replacement with the same explicit name needs the old object deleted first."""
    old, new = _with_namespace(old, default_namespace), _with_namespace(new, default_namespace)
    kind = str(new.get("kind"))
    frozen = bool(old.get("immutable"))

    def replaces(path: Path) -> bool:
        if path in IDENTITY or any(path == start[: len(path)] for start in IDENTITY if len(path) > 1):
            return True
        if path == ("immutable",):
            return frozen
        if kind in mutable and not frozen and path != ("type",):
            return False
        if kind == "StatefulSet":
            return path[0] == "spec" and (len(path) == 1 or path[1] not in STATEFUL_SET_MUTABLE)
        return any(path[: len(start)] == start for start in IMMUTABLE.get(kind, ()))

    same_name = all(at(old, path) == at(new, path) for path in IDENTITY)
    keeps_name = same_name and not annotation(new, AUTONAMED)
    return diff_of(property_diffs(old, new), replaces, delete_before_replace=keeps_name)


def _with_namespace(inputs: Object, default_namespace: str) -> Object:
    """Return the inputs with their namespace: writing the default one into the program is no change."""
    if inputs.get("kind") in CLUSTER_SCOPED or at(inputs, ("metadata", "namespace")):
        return inputs
    return {**inputs, "metadata": {**(inputs.get("metadata") or {}), "namespace": default_namespace}}


def imported(live: Object) -> Object:
    """Return the inputs for an import: the object without what the server sets."""
    metadata = {key: value for key, value in live.get("metadata", {}).items() if key not in SERVER_FIELDS}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def outputs(live: Object, manager: str) -> Object:
    """Return what the state keeps of an object: all but `managedFields`."""
    metadata = {key: value for key, value in live.get("metadata", {}).items() if key != "managedFields"}
    return {**live, "metadata": metadata, FIELD_MANAGER_KEY: manager}


def live_inputs(inputs: Json, live: Json, path: Path = ()) -> Json:
    """Return the inputs with the values of the live object, as the program wrote them where they are equivalent.

    A number of replicas that an autoscaler set is none of the program's.
    """
    if not path and isinstance(live, Mapping) and is_scaled(dict(live)):
        live = _with_value(dict(live), ["spec", "replicas"], at(inputs, ("spec", "replicas")))
    if isinstance(inputs, Mapping):
        if not isinstance(live, Mapping):
            return dict(inputs) if live is None and not inputs else live
        found = {key: _live_input(key, value, live, (*path, key)) for key, value in inputs.items()}
        return {key: value for key, value in found.items() if value is not None or inputs[key] is None}
    if isinstance(inputs, list):
        return _live_list(inputs, live, path)
    return inputs if equivalent(inputs, live, path) else live


def with_ignored(inputs: Object, live: Object, paths: Sequence[str], manager: str) -> Object:
    """Return inputs whose ignored fields an apply leaves as they are, as the released provider does it.

    A field that other managers have and `manager` has not is left out, and any other has its live value.
    """
    for path in paths:
        keys = path.split(".")
        managers = {entry.get("manager") for entry in _managed_fields(live) if _has_field(entry, keys)}
        value = None if managers and manager not in managers else at(live, tuple(keys))
        inputs = _with_value(inputs, keys, value)
    return inputs


def is_scaled(live: Object) -> bool:
    """Return whether an autoscaler set the number of replicas, by the object's subresource for that."""
    return any(
        entry.get("subresource") == "scale" and _has_field(entry, ["spec", "replicas"])
        for entry in _managed_fields(live)
    )


def _managed_fields(live: Object) -> list[dict[str, Any]]:
    return at(live, ("metadata", "managedFields")) or []


def _has_field(entry: Mapping[str, Any], keys: Sequence[str]) -> bool:
    return at(entry, ("fieldsV1", *(f"f:{key}" for key in keys))) is not None


def _with_value(inputs: Object, keys: Sequence[str], value: Json) -> Object:
    """Return a copy with one value set, or removed where it is None."""
    first, *rest = keys
    below = inputs.get(first)
    if rest:
        return {**inputs, first: _with_value(below, rest, value)} if isinstance(below, dict) else inputs
    return {**{key: kept for key, kept in inputs.items() if key != first}, **({} if value is None else {first: value})}


def _live_input(key: str, value: Json, live: Mapping[str, Any], path: Path) -> Json:
    if path == ("stringData",):
        data = live.get("data") or {}
        return {name: _decoded(data.get(name), text) for name, text in value.items() if name in data}
    if path in (("metadata", "namespace"), ("metadata", "generateName")) and live.get(key) is None:
        return value
    return live_inputs(value, live.get(key), path)


def _decoded(data: str | None, wanted: str) -> str:
    try:
        return base64.b64decode(data or "").decode()
    except ValueError:
        return wanted if data is None else data


def _live_list(inputs: list[Any], live: Json, path: Path) -> Json:
    if not isinstance(live, list):
        return inputs if live is None and not inputs else live
    for key in MERGE_KEYS:
        if inputs and all(isinstance(item, Mapping) and key in item for item in (*inputs, *live)):
            by_key = {item[key]: item for item in live}
            if len(by_key) < len(live) or len({item[key] for item in inputs}) < len(inputs):
                continue
            kept = [item for item in inputs if item[key] in by_key]
            return [live_inputs(item, by_key[item[key]], (*path, i)) for i, item in enumerate(kept)]
    if len(inputs) != len(live):
        return live
    return [live_inputs(mine, theirs, (*path, i)) for i, (mine, theirs) in enumerate(zip(inputs, live, strict=True))]


def equivalent(wanted: object, live: object, path: Path) -> bool:
    """Tell whether two leaves are the same to the API server."""
    if wanted == live:
        return True
    if live is None:
        return wanted in ("", 0, False)  # the server leaves out what is empty
    if _holds_quantity(path):
        return (mine := quantity(wanted)) is not None and mine == quantity(live)
    return False


def _holds_quantity(path: Path) -> bool:
    steps = [step for step in path if isinstance(step, str)]
    return bool(steps) and (steps[-1] in QUANTITY_KEYS or (len(steps) > 1 and steps[-2] in QUANTITY_PARENTS))


def quantity(value: object) -> Decimal | None:
    """Parse a Kubernetes quantity (`500m`, `1Gi`, 2); None when it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = QUANTITY.match(str(value))
    if match is None:
        return None
    number, unit = match.groups()
    if unit and unit[0] in "eE" and len(unit) > 1:
        return Decimal(number + unit)
    return Decimal(number) * SCALES.get(unit or "", Decimal(1))


def not_ready(live: Object) -> str | None:
    """Return why a workload is not ready; None when it is, or when its kind is not awaited."""
    kind, spec, status = live.get("kind"), live.get("spec") or {}, live.get("status") or {}
    if kind not in ("Deployment", "StatefulSet"):
        return None
    generation = at(live, ("metadata", "generation")) or 0
    if status.get("observedGeneration", 0) < generation:
        return "its controller has not seen it yet"
    wanted = spec.get("replicas", 1)
    ready = status.get("availableReplicas" if kind == "Deployment" else "readyReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    if updated < wanted or ready < wanted or status.get("replicas", 0) > updated:
        return f"{ready} of {wanted} replicas are ready, {updated} of the current revision"
    return None
