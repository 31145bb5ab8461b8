"""Whether a volume, a mount or a container of a stack's file can be part of a pod of the fleet.

They are plain Kubernetes objects. What the API server checks by itself is left to it, but for names, misspelt fields
and what the namespace's restricted profile and quota refuse only when a pod is created.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from config.errors import ErrorLine, below, comma_separated, format_value, suggestion
from config.pods import PlainObject
from config.variables import looks_secret
from config.volumes import DIRECTORIES

DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
OWN_VOLUMES: Final = frozenset(
    {path.rsplit("/", 1)[1] for path in DIRECTORIES} | {"tmp", "shm", "api-access", "broker-ca"}
)
OWN_PATHS: Final = frozenset({*DIRECTORIES, "/", "/tmp", "/dev/shm", "/app", "/proc", "/sys", "/dev"})  # noqa: S108
# The sources that the restricted profile admits; every other one reaches into the node.
VOLUME_SOURCES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
MOUNT_FIELDS: Final = frozenset(
    {
        "bindMountOptions", "mountPath", "mountPropagation", "name", "readOnly", "recursiveReadOnly", "subPath",
        "subPathExpr",
    }
)  # fmt: skip
CONTAINER_FIELDS: Final = frozenset(
    {
        "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports",
        "readinessProbe", "resizePolicy", "resources", "restartPolicy", "restartPolicyRules", "securityContext",
        "startupProbe", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty",
        "volumeDevices", "volumeMounts", "workingDir",
    }
)  # fmt: skip
AFFINITIES: Final = frozenset({"nodeAffinity", "podAffinity", "podAntiAffinity"})
SPREAD_FIELDS: Final = frozenset(
    {
        "labelSelector", "matchLabelKeys", "maxSkew", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy",
        "topologyKey", "whenUnsatisfiable",
    }
)  # fmt: skip
OWN_CONTAINERS: Final = frozenset({"worker", "beat"})
MAY_ADD: Final = frozenset({"NET_BIND_SERVICE"})  # all that the restricted profile lets a container add


def volume_errors(key: str, volume: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with a volume."""
    yield from _name_errors(key, volume.get("name"), OWN_VOLUMES, "volume")
    sources = sorted(volume.keys() - {"name"})
    if len(sources) != 1 or sources[0] not in VOLUME_SOURCES:
        given = comma_separated(sources) or "nothing"
        yield ErrorLine(
            key,
            f"given {given} beside the name; the restricted profile allows one of {comma_separated(VOLUME_SOURCES)}",
        )
    elif "emptyDir" in volume and not _mapping(volume, "emptyDir").get("sizeLimit"):
        yield ErrorLine(f"{key}.emptyDir.sizeLimit", "missing; without it one pod could fill its node's disk")


def mount_errors(key: str, mount: PlainObject, volumes: Sequence[PlainObject]) -> Iterator[ErrorLine]:
    """Yield what is wrong with a mount in a pod that has these volumes beside the fleet's own."""
    yield from _unknown_fields(key, mount, MOUNT_FIELDS)
    names = {str(volume.get("name")) for volume in volumes} | OWN_VOLUMES - {"api-access", "broker-ca"}
    name, path = mount.get("name"), mount.get("mountPath")
    if not isinstance(name, str) or name not in names:
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}; the volumes here are {comma_separated(names)}")
    if not isinstance(path, str) or not path.startswith("/"):
        yield ErrorLine(f"{key}.mountPath", f"given {format_value(path)}; allowed: an absolute path")
    elif (path.rstrip("/") or "/") in OWN_PATHS:
        yield ErrorLine(
            f"{key}.mountPath",
            f"given {format_value(path)}, which is the fleet's own; what lies behind its directories is fleet:volumes",
        )


def container_errors(key: str, container: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with a container beside the worker, or one before it."""
    yield from _unknown_fields(key, container, CONTAINER_FIELDS)
    yield from _name_errors(key, container.get("name"), OWN_CONTAINERS, "container")
    if not isinstance(container.get("image"), str) or not container["image"]:
        yield ErrorLine(f"{key}.image", "missing; the image to run")
    if container.get("restartPolicy", "Always") != "Always":
        yield ErrorLine(f"{key}.restartPolicy", "is Always for a sidecar, and nothing else has one; remove this key")
    yield from _quota_errors(key, _mapping(container, "resources"))
    yield from _security_errors(f"{key}.securityContext", _mapping(container, "securityContext"))
    for index, port in enumerate(_list(container, "ports")):
        if isinstance(port, Mapping) and port.get("hostPort"):
            yield ErrorLine(f"{key}.ports[{index}].hostPort", "is not allowed by the restricted profile; remove it")
    for index, variable in enumerate(_list(container, "env")):
        if isinstance(variable, Mapping) and looks_secret(str(variable.get("name")), str(variable.get("value") or "")):
            yield ErrorLine(
                f"{key}.env[{index}].value",
                "looks like a secret, and would stand in plain text; put it into a Secret and use valueFrom",
            )


def affinity_errors(key: str, affinity: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with an affinity."""
    yield from _unknown_fields(key, affinity, AFFINITIES)
    for field, given in affinity.items():
        if field in AFFINITIES and not isinstance(given, Mapping):
            yield ErrorLine(f"{key}.{field}", f"given {format_value(given)}; allowed: a mapping")


def spread_errors(key: str, constraint: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with a topology spread constraint."""
    yield from _unknown_fields(key, constraint, SPREAD_FIELDS)
    for field in ("maxSkew", "topologyKey", "whenUnsatisfiable"):
        if not constraint.get(field):
            yield ErrorLine(f"{key}.{field}", "missing; Kubernetes wants it in each constraint")


def _name_errors(key: str, name: Any, own: frozenset[str], kind: str) -> Iterator[ErrorLine]:  # noqa: ANN401 any input
    if not isinstance(name, str) or not name:
        yield ErrorLine(f"{key}.name", f"missing; the {kind}'s name")
    elif not DNS_LABEL.fullmatch(name):
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}; lower case letters, digits and inner dashes only")
    elif name in own:
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}, the name of a {kind} of the fleet's own")


def _unknown_fields(key: str, given: PlainObject, known: frozenset[str]) -> Iterator[ErrorLine]:
    for field in sorted(given.keys() - known):
        yield ErrorLine(
            below(key, field),
            f"Kubernetes has no such field{suggestion(field, known)}; it has {comma_separated(known)}",
        )


def _quota_errors(key: str, resources: Mapping[str, Any]) -> Iterator[ErrorLine]:
    for side in ("requests", "limits"):
        amounts = _mapping(resources, side)
        for name in ("cpu", "memory"):
            if not amounts.get(name):
                yield ErrorLine(
                    f"{key}.resources.{side}.{name}", "missing; the namespace's quota admits no pod without it"
                )


def _security_errors(key: str, context: Mapping[str, Any]) -> Iterator[ErrorLine]:
    refused = {
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation", False) is not False,
        "privileged": bool(context.get("privileged")),
        "runAsNonRoot": context.get("runAsNonRoot", True) is not True,
        "runAsUser": context.get("runAsUser", 1) == 0,
        "procMount": context.get("procMount", "Default") != "Default",
        "seccompProfile": _mapping(context, "seccompProfile").get("type", "RuntimeDefault")
        not in ("RuntimeDefault", "Localhost"),
    }
    for field, wrong in refused.items():
        if wrong:
            yield ErrorLine(
                f"{key}.{field}", f"given {format_value(context.get(field))}; the namespace has the restricted profile"
            )
    capabilities = context.get("capabilities")
    if capabilities is not None:
        dropped, added = _list(capabilities, "drop"), _list(capabilities, "add")
        if "ALL" not in dropped or not MAY_ADD.issuperset(map(str, added)):
            yield ErrorLine(
                f"{key}.capabilities",
                f"given {format_value(capabilities)}; allowed: drop ALL, and add NET_BIND_SERVICE",
            )


def _mapping(given: Any, key: str) -> Mapping[str, Any]:  # noqa: ANN401 any input
    found = given.get(key) if isinstance(given, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _list(given: Any, key: str) -> Sequence[Any]:  # noqa: ANN401 any input
    found = given.get(key) if isinstance(given, Mapping) else None
    return found if isinstance(found, list | tuple) else ()
