"""What Kubernetes' validation asks of an object beyond the types of its fields, for the objects of a stack's file.

The API server has no other form of these rules than its code and its documentation: words that a field takes, numbers
in a range, fields of which exactly one is given, fields that the types call optional and the server wants. The tests
put each of them to the real API server.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.errors import ErrorLine, comma_separated, format_value, suggestion
from config.kubernetes_rules import RULES

WORDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("Container", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("Container", "terminationMessagePolicy"): ("FallbackToLogsOnError", "File"),
    ("ContainerPort", "protocol"): ("SCTP", "TCP", "UDP"),
    ("ContainerResizePolicy", "resourceName"): ("cpu", "memory"),
    ("ContainerResizePolicy", "restartPolicy"): ("NotRequired", "RestartContainer"),
    ("HTTPGetAction", "scheme"): ("HTTP", "HTTPS"),
    ("ImageVolumeSource", "pullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("LabelSelectorRequirement", "operator"): ("DoesNotExist", "Exists", "In", "NotIn"),
    ("NodeSelectorRequirement", "operator"): ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"),
    ("PersistentVolumeClaimSpec", "accessModes"): (
        "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod",
    ),
    ("PersistentVolumeClaimSpec", "volumeMode"): ("Block", "Filesystem"),
    ("TopologySpreadConstraint", "nodeAffinityPolicy"): ("Honor", "Ignore"),
    ("TopologySpreadConstraint", "nodeTaintsPolicy"): ("Honor", "Ignore"),
    ("TopologySpreadConstraint", "whenUnsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
    ("VolumeMount", "mountPropagation"): ("Bidirectional", "HostToContainer", "None"),
    ("VolumeMount", "recursiveReadOnly"): ("Disabled", "Enabled", "IfPossible"),
}  # fmt: skip
PORT: Final = (1, 65_535)
MODE: Final = (0, 0o777)
AMOUNT: Final = (0, 2**31 - 1)
AT_LEAST_ONE: Final = (1, 2**31 - 1)
RANGES: Final[Mapping[tuple[str, str], tuple[int, int]]] = {
    ("ConfigMapVolumeSource", "defaultMode"): MODE,
    ("ContainerPort", "containerPort"): PORT,
    ("DownwardAPIVolumeFile", "mode"): MODE,
    ("DownwardAPIVolumeSource", "defaultMode"): MODE,
    ("GRPCAction", "port"): PORT,
    ("HTTPGetAction", "port"): PORT,
    ("KeyToPath", "mode"): MODE,
    ("PreferredSchedulingTerm", "weight"): (1, 100),
    ("Probe", "failureThreshold"): AMOUNT,  # 0 is the default, here and below
    ("Probe", "initialDelaySeconds"): AMOUNT,
    ("Probe", "periodSeconds"): AMOUNT,
    ("Probe", "terminationGracePeriodSeconds"): AT_LEAST_ONE,
    ("Probe", "timeoutSeconds"): AMOUNT,
    ("ProjectedVolumeSource", "defaultMode"): MODE,
    ("SecretVolumeSource", "defaultMode"): MODE,
    ("ServiceAccountTokenProjection", "expirationSeconds"): (600, 2**32),
    ("TCPSocketAction", "port"): PORT,
    ("TopologySpreadConstraint", "maxSkew"): AT_LEAST_ONE,
    ("TopologySpreadConstraint", "minDomains"): AT_LEAST_ONE,
    ("WeightedPodAffinityTerm", "weight"): (1, 100),
}
ONE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "DownwardAPIVolumeFile": ("fieldRef", "resourceFieldRef"),
    "EnvFromSource": ("configMapRef", "secretRef"),
    "EnvVarSource": ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"),
    "LifecycleHandler": ("exec", "httpGet", "sleep", "tcpSocket"),
    "Probe": ("exec", "grpc", "httpGet", "tcpSocket"),
}  # fmt: skip
AT_MOST_ONE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "EnvVar": ("value", "valueFrom"),
    "VolumeMount": ("subPath", "subPathExpr"),
    "VolumeProjection": (
        "clusterTrustBundle", "configMap", "downwardAPI", "podCertificate", "secret", "serviceAccountToken",
    ),
}  # fmt: skip
WANTED: Final[Mapping[str, tuple[str, ...]]] = {
    "ConfigMapEnvSource": ("name",),
    "ConfigMapKeySelector": ("name",),
    "ConfigMapProjection": ("name",),
    "ConfigMapVolumeSource": ("name",),
    "EphemeralVolumeSource": ("volumeClaimTemplate",),
    "ExecAction": ("command",),
    "ImageVolumeSource": ("reference",),
    "PersistentVolumeClaimSpec": ("accessModes", "resources"),
    "SecretEnvSource": ("name",),
    "SecretKeySelector": ("name",),
    "SecretProjection": ("name",),
    "SecretVolumeSource": ("secretName",),
}
# What may not be empty, where it is given.
FILLED: Final[Mapping[str, tuple[str, ...]]] = {
    "EnvVar": ("name",),
    "NodeSelector": ("nodeSelectorTerms",),
    "NodeSelectorRequirement": ("key",),
    "PodAffinityTerm": ("topologyKey",),
    "TopologySpreadConstraint": ("topologyKey",),
}


def value_errors(key: str, kind: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield an error for each value or combination of fields that the API server refuses.

    Args:
        key: the object's key in the stack's file.
        kind: the object's type, such as `Container`.
        given: the object, whose fields may have any type.
    """
    for field, value in given.items():
        yield from _word_errors(f"{key}.{field}", WORDS.get((kind, field)), value)
        yield from _range_errors(f"{key}.{field}", RANGES.get((kind, field)), value)
    yield from _missing_errors(key, kind, given)
    yield from _combination_errors(key, kind, given)
    if rule := RULES.get(kind):
        yield from rule(key, given)


def _word_errors(key: str, words: tuple[str, ...] | None, given: object) -> Iterator[ErrorLine]:
    for word in given if isinstance(given, list | tuple) else (given,):
        if words and isinstance(word, str) and word not in words:
            allowed = ", ".join(word or "''" for word in words)
            yield ErrorLine(key, f"given {format_value(word)}; allowed: {allowed}{suggestion(word, words)}")


def _range_errors(key: str, bounds: tuple[int, int] | None, given: object) -> Iterator[ErrorLine]:
    if bounds and isinstance(given, int) and not bounds[0] <= given <= bounds[1]:
        yield ErrorLine(key, f"given {given}; allowed: {bounds[0]} to {bounds[1]}")


def _missing_errors(key: str, kind: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    for field in WANTED.get(kind, ()):
        if not given.get(field):
            yield ErrorLine(f"{key}.{field}", "missing; Kubernetes wants it")
    for field in FILLED.get(kind, ()):
        if field in given and not given[field]:
            yield ErrorLine(f"{key}.{field}", f"given {format_value(given[field])}; Kubernetes wants something there")


def _combination_errors(key: str, kind: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    for allowed, needs_one in ((ONE_OF.get(kind, ()), True), (AT_MOST_ONE_OF.get(kind, ()), False)):
        found = [field for field in allowed if field in given]
        if len(found) > 1 or (allowed and needs_one and not found):
            few = "exactly one" if needs_one else "at most one"
            yield ErrorLine(key, f"given {comma_separated(found) or 'none'}; {few} of {comma_separated(allowed)}")
