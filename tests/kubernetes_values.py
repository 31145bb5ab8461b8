"""Objects on both sides of each rule of Kubernetes' validation, and pods that carry them to an API server."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.kubernetes_values import AT_MOST_ONE_OF, FILLED, ONE_OF, RANGES, WANTED, WORDS

Object = dict[str, Any]
FIELD_REF = {"fieldPath": "metadata.name"}
SELECTOR = {"name": "a", "key": "b"}
TERM = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
CONTAINER = {"name": "c", "image": "i:1"}
# One acceptable object of each kind.
GOOD: Mapping[str, Object] = {
    "ConfigMapEnvSource": {"name": "a"},
    "ConfigMapKeySelector": SELECTOR,
    "ConfigMapProjection": {"name": "a"},
    "ConfigMapVolumeSource": {"name": "a"},
    "Container": {},
    "ContainerPort": {"containerPort": 80},
    "ContainerResizePolicy": {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    "DownwardAPIVolumeFile": {"path": "a", "fieldRef": FIELD_REF},
    "DownwardAPIVolumeSource": {"items": [{"path": "a", "fieldRef": FIELD_REF}]},
    "EnvFromSource": {"configMapRef": {"name": "a"}},
    "EnvVar": {"name": "A", "value": "b"},
    "EnvVarSource": {"fieldRef": FIELD_REF},
    "EphemeralVolumeSource": {"volumeClaimTemplate": {"spec": CLAIM}},
    "ExecAction": {"command": ["true"]},
    "GRPCAction": {"port": 80},
    "HTTPGetAction": {"port": 80},
    "ImageVolumeSource": {"reference": "a:1"},
    "KeyToPath": {"key": "a", "path": "b"},
    "LabelSelectorRequirement": {"key": "a", "operator": "In", "values": ["b"]},
    "LifecycleHandler": {"httpGet": {"port": 80}},
    "NodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]},
    "NodeSelectorRequirement": {"key": "a", "operator": "In", "values": ["1"]},
    "PersistentVolumeClaimSpec": CLAIM,
    "PodAffinityTerm": TERM,
    "PreferredSchedulingTerm": {
        "weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
    },
    "Probe": {"httpGet": {"port": 80}},
    "ProjectedVolumeSource": {"sources": [{"secret": {"name": "a"}}]},
    "SecretEnvSource": {"name": "a"},
    "SecretKeySelector": SELECTOR,
    "SecretProjection": {"name": "a"},
    "SecretVolumeSource": {"secretName": "a"},
    "ServiceAccountTokenProjection": {"path": "a"},
    "TCPSocketAction": {"port": 80},
    "TopologySpreadConstraint": SPREAD,
    "VolumeMount": {"name": "v", "mountPath": "/v"},
    "VolumeProjection": {"secret": {"name": "a"}},
    "WeightedPodAffinityTerm": {"weight": 1, "podAffinityTerm": TERM},
}  # fmt: skip
# What a field holds where several of its kind stand together.
FIELDS: Mapping[str, Object] = {
    "exec": {"command": ["true"]}, "grpc": {"port": 80}, "httpGet": {"port": 80}, "sleep": {"seconds": 1},
    "tcpSocket": {"port": 80},
    "fieldRef": FIELD_REF, "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"},
    "configMapRef": {"name": "a"}, "secretRef": {"name": "a"}, "configMapKeyRef": SELECTOR, "secretKeyRef": SELECTOR,
    "configMap": {"name": "a"}, "secret": {"name": "a"}, "serviceAccountToken": {"path": "a"},
    "downwardAPI": {"items": [{"path": "x", "fieldRef": FIELD_REF}]},
}  # fmt: skip


def pod(**spec: Any) -> Object:  # noqa: ANN401 any fields
    return {"containers": [CONTAINER], **spec}


def container(**fields: Any) -> Object:  # noqa: ANN401 any fields
    return pod(containers=[{**CONTAINER, **fields}])


def volume(**source: Any) -> Object:  # noqa: ANN401 any fields
    return pod(volumes=[{"name": "v", **source}])


def variable(**source: Any) -> Object:  # noqa: ANN401 any fields
    return container(env=[{"name": "A", "valueFrom": source}])


def projection(**source: Any) -> Object:  # noqa: ANN401 any fields
    return volume(projected={"sources": [source]})


def node_affinity(**fields: Any) -> Object:  # noqa: ANN401 any fields
    return pod(affinity={"nodeAffinity": fields})


def required(selector: Object) -> Object:
    return node_affinity(requiredDuringSchedulingIgnoredDuringExecution=selector)


# The specification of a pod with an object of each kind.
CARRIERS: Mapping[str, Callable[[Object], Object]] = {
    "ConfigMapEnvSource": lambda one: container(envFrom=[{"configMapRef": one}]),
    "ConfigMapKeySelector": lambda one: variable(configMapKeyRef=one),
    "ConfigMapProjection": lambda one: projection(configMap=one),
    "ConfigMapVolumeSource": lambda one: volume(configMap=one),
    "Container": lambda one: container(**one),
    "ContainerPort": lambda one: container(ports=[one]),
    "ContainerResizePolicy": lambda one: container(resizePolicy=[one]),
    "DownwardAPIVolumeFile": lambda one: volume(downwardAPI={"items": [one]}),
    "DownwardAPIVolumeSource": lambda one: volume(downwardAPI=one),
    "EnvFromSource": lambda one: container(envFrom=[one]),
    "EnvVar": lambda one: container(env=[one]),
    "EnvVarSource": lambda one: variable(**one),
    "EphemeralVolumeSource": lambda one: volume(ephemeral=one),
    "ExecAction": lambda one: container(livenessProbe={"exec": one}),
    "GRPCAction": lambda one: container(livenessProbe={"grpc": one}),
    "HTTPGetAction": lambda one: container(livenessProbe={"httpGet": one}),
    "ImageVolumeSource": lambda one: volume(image=one),
    "KeyToPath": lambda one: volume(secret={"secretName": "a", "items": [one]}),
    "LabelSelectorRequirement": lambda one: pod(
        topologySpreadConstraints=[{**SPREAD, "labelSelector": {"matchExpressions": [one]}}]
    ),
    "LifecycleHandler": lambda one: container(lifecycle={"preStop": one}),
    "NodeSelector": required,
    "NodeSelectorRequirement": lambda one: required({"nodeSelectorTerms": [{"matchExpressions": [one]}]}),
    "PersistentVolumeClaimSpec": lambda one: volume(ephemeral={"volumeClaimTemplate": {"spec": one}}),
    "PodAffinityTerm": lambda one: pod(
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [one]}}
    ),
    "PreferredSchedulingTerm": lambda one: node_affinity(preferredDuringSchedulingIgnoredDuringExecution=[one]),
    "Probe": lambda one: container(livenessProbe=one),
    "ProjectedVolumeSource": lambda one: volume(projected=one),
    "SecretEnvSource": lambda one: container(envFrom=[{"secretRef": one}]),
    "SecretKeySelector": lambda one: variable(secretKeyRef=one),
    "SecretProjection": lambda one: projection(secret=one),
    "SecretVolumeSource": lambda one: volume(secret=one),
    "ServiceAccountTokenProjection": lambda one: projection(serviceAccountToken=one),
    "TCPSocketAction": lambda one: container(livenessProbe={"tcpSocket": one}),
    "TopologySpreadConstraint": lambda one: pod(topologySpreadConstraints=[one]),
    "VolumeMount": lambda one: {**container(volumeMounts=[one]), "volumes": [{"name": "v", "emptyDir": {}}]},
    "VolumeProjection": lambda one: projection(**one),
    "WeightedPodAffinityTerm": lambda one: pod(
        affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [one]}}
    ),
}


@dataclass(frozen=True)
class Case:
    """An object that Kubernetes takes, or one that it refuses."""

    kind: str
    given: Object
    refused: bool

    @property
    def spec(self) -> Object:
        """The specification of a pod with it."""
        return CARRIERS[self.kind](self.given)

    def __str__(self) -> str:
        return f"{'refused' if self.refused else 'taken'}: {self.kind} {self.given}"


def cases() -> Iterator[Case]:
    """Yield every rule's objects: its words and another one, its bounds and what lies beyond, too few and too many."""
    for kind, good in GOOD.items():
        yield Case(kind, good, refused=False)
    for (kind, field), words in WORDS.items():
        for word in (*words, "Nonsense"):
            value = [word] if isinstance(GOOD[kind].get(field), list) else word
            yield from _word_case(kind, field, word, value, refused=word not in words)
    for (kind, field), (low, high) in RANGES.items():
        for number in (low - 1, low, high, high + 1):
            if number >> 31 == 0 or high > 2**31:  # what no 32 bits hold is no number to the server
                yield Case(kind, {**GOOD[kind], field: number}, refused=not low <= number <= high)
    yield from _absent()
    yield from _alternatives()
    yield from (Case(kind, OVERFULL[kind], refused=True) for kind in AT_MOST_ONE_OF)
    yield from REQUIREMENTS
    yield from COMBINATIONS


def _absent() -> Iterator[Case]:
    for kind, fields in WANTED.items():
        for field in fields:
            yield Case(kind, {name: value for name, value in GOOD[kind].items() if name != field}, refused=True)
    for kind, fields in FILLED.items():
        for field in fields:
            yield Case(kind, {**GOOD[kind], field: [] if isinstance(GOOD[kind][field], list) else ""}, refused=True)


def _alternatives() -> Iterator[Case]:
    for kind, fields in ONE_OF.items():
        others = {name: value for name, value in GOOD[kind].items() if name not in fields}
        known = [name for name in fields if name in FIELDS]
        yield Case(kind, others, refused=True)
        yield from (Case(kind, {**others, name: FIELDS[name]}, refused=False) for name in known)
        yield Case(kind, {**others, **{name: FIELDS[name] for name in known[:2]}}, refused=True)


OVERFULL: Mapping[str, Object] = {
    "EnvVar": {"name": "A", "value": "b", "valueFrom": {"fieldRef": FIELD_REF}},
    "VolumeMount": {**GOOD["VolumeMount"], "subPath": "a", "subPathExpr": "$(A)"},
    "VolumeProjection": {"secret": {"name": "a"}, "configMap": {"name": "a"}},
}
REQUIREMENTS = [
    Case(kind, {"key": "a", "operator": operator, **values}, refused)
    for kind in ("NodeSelectorRequirement", "LabelSelectorRequirement")
    for operator, values, refused in (
        ("In", {}, True), ("NotIn", {"values": []}, True), ("Exists", {"values": ["b"]}, True),
        ("DoesNotExist", {}, False), ("NotIn", {"values": ["b", "c"]}, False),
    )
] + [
    Case("NodeSelectorRequirement", {"key": "a", "operator": "Gt", "values": values}, refused)
    for values, refused in ((["1", "2"], True), ([], True), (["12"], False))
] + [
    Case("Container", {probe: {"httpGet": {"port": 80}, field: 2}}, refused)
    for probe, field, refused in (
        ("livenessProbe", "successThreshold", True), ("startupProbe", "successThreshold", True),
        ("readinessProbe", "successThreshold", False), ("readinessProbe", "terminationGracePeriodSeconds", True),
    )
]  # fmt: skip

GPU = "nvidia.com/gpu"
COMBINATIONS = [
    Case("EnvVarSource", {"fieldRef": {"fieldPath": path}}, refused)
    for path, refused in (
        ("spec.podIP", True), ("metadata.labels", True), ("metadata.labels['a/b']", False), ("status.podIPs", False),
    )
] + [
    Case("DownwardAPIVolumeFile", {"path": "a", "fieldRef": {"fieldPath": path}}, refused)
    for path, refused in (("status.podIP", True), ("metadata.labels", False), ("metadata.uid", False))
] + [
    Case("EnvVarSource", {"resourceFieldRef": {"resource": resource}}, refused)
    for resource, refused in (("memory", True), ("limits.gpu", True), ("requests.ephemeral-storage", False))
] + [
    Case("TopologySpreadConstraint", {**SPREAD, "minDomains": 2, "whenUnsatisfiable": "ScheduleAnyway"}, refused=True),
] + [
    Case("Container", {"resources": resources}, refused)
    for resources, refused in (
        ({"limits": {"gpu": 1}}, True), ({"requests": {GPU: 1}}, True), ({"limits": {GPU: "0.5"}}, True),
        ({"limits": {GPU: 2}, "requests": {GPU: 1}}, True), ({"limits": {GPU: 1}}, False),
        ({"limits": {GPU: 1}, "requests": {GPU: 1}}, False), ({"requests": {"hugepages-2Mi": "2Mi"}}, True),
    )
] + [
    Case("Container", {"ports": [{"containerPort": 80 + at, "name": name} for at, name in enumerate(names)]}, refused)
    for names, refused in (
        (["http", "http"], True), (["http_metrics"], True), (["a-name-of-sixteen"], True), (["80"], True),
        (["http", "metrics-9100"], False),
    )
]  # fmt: skip


def _word_case(kind: str, field: str, word: str, value: object, *, refused: bool) -> Iterator[Case]:
    given = {**GOOD[kind], field: value}
    if kind.endswith("SelectorRequirement") and word in ("Exists", "DoesNotExist"):
        del given["values"]
    if field == "recursiveReadOnly":
        given["readOnly"] = True
    yield Case(kind, given, refused or word == "Bidirectional")
