"""What the stand-in knows of Kubernetes objects, as pure functions: what cannot change, what counts as drift.

The API server rewrites what it is given (defaults, `1000m` to `1`, empty lists dropped), and controllers own fields
of their own (an autoscaler the replicas). So a live object is only ever compared over the fields that the program
sets, and a value that only differs in spelling is not a difference.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from offline.providers.changes import Verdict, changes, verdict
from offline.providers.values import Json, Object, Path, at

SKIP_AWAIT = "pulumi.com/skipAwait"
FORCE = "pulumi.com/patchForce"
AUTONAMED = "pulumi.com/autonamed"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
MANAGER = "__fieldManager"

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
HOLDS_QUANTITIES = frozenset(
    {"limits", "requests", "hard", "default", "defaultRequest", "max", "min", "overhead", "capacity"}
)
QUANTITY_KEYS = frozenset({"averageValue", "sizeLimit", "divisor"})
LIST_KEYS = ("name", "containerPort", "mountPath", "port", "type", "topologyKey", "ip")


def annotation(inputs: Mapping[str, Any], key: str) -> str:
    """An annotation of the object, or the empty text."""
    return str(at(inputs, ("metadata", "annotations", key)) or "")


def identity(inputs: Mapping[str, Any], default_namespace: str) -> tuple[str, str, str | None, str]:
    """apiVersion, kind, namespace (None for what lies in none) and name."""
    kind, metadata = str(inputs.get("kind")), inputs.get("metadata") or {}
    namespace = None if kind in CLUSTER_SCOPED else str(metadata.get("namespace") or default_namespace)
    return str(inputs.get("apiVersion")), kind, namespace, str(metadata.get("name"))


def manager_of(urn: str) -> str:
    """The field manager of a resource: the same for all its life, and no other resource's."""
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def autonamed(inputs: Object, old: Object, name: str, seed: bytes) -> Object:
    """`inputs` with a name: its own, else the one it had, else `name` and eight hex digits."""
    metadata = dict(inputs.get("metadata") or {})
    if metadata.get("name") or metadata.get("generateName"):
        return inputs
    kept = at(old, ("metadata", "name")) if annotation(old, AUTONAMED) else None
    metadata["name"] = kept or f"{name}-{hashlib.sha256(seed).hexdigest()[:8]}"
    metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return {**inputs, "metadata": metadata}


def compare(old: Object, new: Object, default_namespace: str, mutable: frozenset[str] = frozenset()) -> Verdict:
    """What an update would do. An explicit name stands in its own way, so the old object then goes first."""
    old, new = _settled(old, default_namespace), _settled(new, default_namespace)
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
    return verdict(changes(old, new), replaces, delete_first=same_name and not annotation(new, AUTONAMED))


def _settled(inputs: Object, default_namespace: str) -> Object:
    """Inputs with the namespace they mean: writing the default one down is no change."""
    if inputs.get("kind") in CLUSTER_SCOPED or at(inputs, ("metadata", "namespace")):
        return inputs
    return {**inputs, "metadata": {**(inputs.get("metadata") or {}), "namespace": default_namespace}}


def imported(live: Object) -> Object:
    """The inputs that would make `live`: all of it but what the server wrote."""
    metadata = {key: value for key, value in live.get("metadata", {}).items() if key not in SERVER_FIELDS}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def outputs(live: Object, manager: str) -> Object:
    """What the state keeps of an object: all of it but the bookkeeping of field managers."""
    metadata = {key: value for key, value in live.get("metadata", {}).items() if key != "managedFields"}
    return {**live, "metadata": metadata, MANAGER: manager}


def project(inputs: Json, live: Json, path: Path = ()) -> Json:
    """`inputs` as the cluster has them now: only the fields set, in the program's spelling where nothing differs."""
    if isinstance(inputs, Mapping):
        if not isinstance(live, Mapping):
            return dict(inputs) if live is None and not inputs else live
        found = {key: _projected(key, value, live, (*path, key)) for key, value in inputs.items()}
        return {key: value for key, value in found.items() if value is not None or inputs[key] is None}
    if isinstance(inputs, list):
        return _project_list(inputs, live, path)
    return inputs if same(inputs, live, path) else live


def _projected(key: str, value: Json, live: Mapping[str, Any], path: Path) -> Json:
    if path == ("stringData",):
        data = live.get("data") or {}
        return {name: _text(data.get(name), text) for name, text in value.items() if name in data}
    if path in (("metadata", "namespace"), ("metadata", "generateName")) and live.get(key) is None:
        return value
    return project(value, live.get(key), path)


def _text(data: str | None, wanted: str) -> str:
    try:
        return base64.b64decode(data or "").decode()
    except ValueError:
        return wanted if data is None else data


def _project_list(inputs: list[Any], live: Json, path: Path) -> Json:
    if not isinstance(live, list):
        return inputs if live is None and not inputs else live
    for key in LIST_KEYS:
        if inputs and all(isinstance(item, Mapping) and key in item for item in (*inputs, *live)):
            by_key = {item[key]: item for item in live}
            if len(by_key) < len(live) or len({item[key] for item in inputs}) < len(inputs):
                continue
            kept = [item for item in inputs if item[key] in by_key]
            return [project(item, by_key[item[key]], (*path, i)) for i, item in enumerate(kept)]
    if len(inputs) != len(live):
        return live
    return [project(mine, theirs, (*path, i)) for i, (mine, theirs) in enumerate(zip(inputs, live, strict=True))]


def same(wanted: object, live: object, path: Path) -> bool:
    """Whether two leaves mean the same to the API server."""
    if wanted == live:
        return True
    if live is None:
        return wanted in ("", 0, False)  # it leaves out what is empty
    if _is_quantity(path):
        return (mine := quantity(wanted)) is not None and mine == quantity(live)
    return False


def _is_quantity(path: Path) -> bool:
    steps = [step for step in path if isinstance(step, str)]
    return bool(steps) and (steps[-1] in QUANTITY_KEYS or (len(steps) > 1 and steps[-2] in HOLDS_QUANTITIES))


def quantity(value: object) -> Decimal | None:
    """The number that a Kubernetes quantity (`500m`, `1Gi`, 2) stands for."""
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
    """Why a workload is not settled yet, or None when it is or when its kind has nothing to wait for."""
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
