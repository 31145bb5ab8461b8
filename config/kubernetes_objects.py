"""Whether a volume, a mount or a container of a stack's file can be part of a pod of the fleet.

They are plain Kubernetes objects, whose fields are checked at any depth (kubernetes_fields.py). What is checked here is
what no field says: names, paths, and what the namespace's restricted profile and quota refuse only when a pod is made.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from config.errors import ErrorLine, below, comma_separated, format_value
from config.kubernetes_fields import field_errors
from config.plain_objects import is_in_memory, list_at, mapping_at
from config.pods import PlainObject
from config.quantities import quantity, rounded_mebibytes
from config.variables import holds_secret, looks_secret
from config.volumes import DIRECTORIES

DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
TMP: Final = "tmp"
SHARED_MEMORY: Final = "shm"
AUTHORITY_VOLUME: Final = "broker-ca"
OWN_VOLUMES: Final = frozenset(
    {posixpath.basename(path) for path in DIRECTORIES} | {TMP, SHARED_MEMORY, AUTHORITY_VOLUME, "api-access"}
)
OWN_PATHS: Final = frozenset({"/", "/tmp", "/dev/shm", "/app", "/dev"})  # noqa: S108
# Python, the application and what they need: a container without them does not start.
IMAGES_PATHS: Final = frozenset(
    {
        "/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/var",
        "/var/run", "/var/run/secrets",
    }
)  # fmt: skip
OWN_TREES: Final = ("/etc/alphaswarm", "/var/run/secrets/alphaswarm", "/proc", "/sys")
IMAGES_TREES: Final = ("/app/source", "/runtime", "/venv")
# The sources that the restricted profile admits; every other one reaches into the node.
VOLUME_SOURCES: Final = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip
OWN_CONTAINERS: Final = frozenset({"worker", "beat"})
MAY_ADD: Final = frozenset({"NET_BIND_SERVICE"})  # all that the restricted profile lets a container add
SELINUX_TYPES: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")


def volume_errors(key: str, volume: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with a volume."""
    yield from _name_errors(key, volume.get("name"), OWN_VOLUMES, "volume")
    sources = sorted(map(str, volume.keys() - {"name"}))
    if len(sources) != 1 or sources[0] not in VOLUME_SOURCES:
        given = comma_separated(sources) or "nothing"
        yield ErrorLine(
            key,
            f"given {given} beside the name; the restricted profile allows one of {comma_separated(VOLUME_SOURCES)}",
        )
        return
    yield from _nameless(field_errors(key, "Volume", volume), key)
    for where, text in _texts(key, volume):
        if holds_secret(text):
            yield ErrorLine(where, "looks like a secret, and would stand in plain text; name a Secret instead")
    if "emptyDir" in volume:
        size = mapping_at(volume, "emptyDir").get("sizeLimit")
        if not quantity(size):
            given = "missing" if size is None else f"given {format_value(size)}"
            yield ErrorLine(
                f"{key}.emptyDir.sizeLimit",
                f"{given}; a size such as '5Gi', without which one pod could fill its node's disk",
            )


def memory_of(volume: PlainObject) -> int:
    """Return how much memory of its pod a volume may take, in MiB."""
    return rounded_mebibytes(volume["emptyDir"].get("sizeLimit")) if is_in_memory(volume) else 0


def mount_errors(
    key: str, mount: PlainObject, volumes: Collection[str] | None, own_directories: Collection[str]
) -> Iterator[ErrorLine]:
    """Yield what is wrong with a mount in the fleet's own container.

    Args:
        key: the mount's key in the stack's file.
        mount: the mount.
        volumes: the names of the pod's volumes; None where one has no name, and any may be meant.
        own_directories: the directories that the pod has without the stack's saying so.
    """
    yield from _mounted_volume_errors(key, mount, volumes)
    path = mount.get("mountPath")
    if not isinstance(path, str) or not path.startswith("/"):
        yield ErrorLine(f"{key}.mountPath", f"given {format_value(path)}; allowed: an absolute path")
        return
    path = posixpath.normpath(f"/{path.lstrip('/')}")
    if path in OWN_PATHS or path in own_directories or _is_in(path, OWN_TREES):
        yield ErrorLine(
            f"{key}.mountPath",
            f"given {format_value(path)}, which is the fleet's own; what lies behind its directories is fleet:volumes",
        )
    elif path in IMAGES_PATHS or _is_in(path, IMAGES_TREES):
        yield ErrorLine(f"{key}.mountPath", f"given {format_value(path)}, which would hide what the image needs to run")


def _is_in(path: str, trees: Iterable[str]) -> bool:
    return any(path == tree or path.startswith(f"{tree}/") for tree in trees)


def container_errors(
    key: str, container: PlainObject, volumes: Collection[str] | None, *, sidecar: bool
) -> Iterator[ErrorLine]:
    """Yield what is wrong with a container beside the worker, or one before it.

    Args:
        key: the container's key in the stack's file.
        container: the container.
        volumes: the names of the pod's volumes; None where one has no name, and any may be meant.
        sidecar: whether it runs beside the worker.
    """
    yield from _nameless(field_errors(key, "Container", container), key)
    yield from _name_errors(key, container.get("name"), OWN_CONTAINERS, "container")
    if not isinstance(container.get("image"), str) or not container["image"]:
        yield ErrorLine(f"{key}.image", "missing; the image to run")
    if container.get("restartPolicy", "Always") != "Always" or (not sidecar and "restartPolicy" in container):
        yield ErrorLine(f"{key}.restartPolicy", "is Always for a sidecar, and nothing else has one; remove this key")
    if not sidecar:
        for field in (*PROBES, "lifecycle"):
            if field in container:
                yield ErrorLine(f"{key}.{field}", "is for containers that go on running; say it of a sidecar")
    yield from _quota_errors(key, mapping_at(container, "resources"))
    yield from _security_errors(f"{key}.securityContext", mapping_at(container, "securityContext"))
    yield from _host_errors(key, container)
    yield from _plain_secret_errors(key, container)
    for index, mount in enumerate(list_at(container, "volumeMounts")):
        if isinstance(mount, Mapping):
            yield from _mounted_volume_errors(f"{key}.volumeMounts[{index}]", mount, volumes, with_fields=False)


def affinity_errors(key: str, affinity: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with an affinity."""
    if affinity:
        yield from field_errors(key, "Affinity", affinity)


def spread_errors(key: str, constraint: PlainObject) -> Iterator[ErrorLine]:
    """Yield what is wrong with a topology spread constraint."""
    yield from field_errors(key, "TopologySpreadConstraint", constraint)


def _nameless(errors: Iterable[ErrorLine], key: str) -> Iterator[ErrorLine]:
    """Yield the errors but those of the object's own name, of which more is said elsewhere."""
    return (error for error in errors if error.key != f"{key}.name")


def _name_errors(key: str, name: Any, own: frozenset[str], kind: str) -> Iterator[ErrorLine]:  # noqa: ANN401 any input
    if not isinstance(name, str) or not name:
        yield ErrorLine(f"{key}.name", f"missing; the {kind}'s name")
    elif not DNS_LABEL.fullmatch(name):
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}; lower case letters, digits and inner dashes only")
    elif name in own:
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}, the name of a {kind} of the fleet's own")


def _mounted_volume_errors(
    key: str, mount: PlainObject, volumes: Collection[str] | None, *, with_fields: bool = True
) -> Iterator[ErrorLine]:
    name, inside = mount.get("name"), mount.get("subPath")
    if with_fields:
        found = field_errors(key, "VolumeMount", mount)
        yield from (error for error in found if error.key not in (f"{key}.name", f"{key}.mountPath"))
    if volumes is not None and (not isinstance(name, str) or name not in volumes):
        yield ErrorLine(f"{key}.name", f"given {format_value(name)}; the volumes here are {comma_separated(volumes)}")
    if isinstance(inside, str) and (inside.startswith("/") or ".." in inside.split("/")):
        yield ErrorLine(f"{key}.subPath", f"given {format_value(inside)}; allowed: a path inside the volume")


def _quota_errors(key: str, resources: Mapping[str, Any]) -> Iterator[ErrorLine]:
    requests, limits = mapping_at(resources, "requests"), mapping_at(resources, "limits")
    for side, amounts in (("requests", requests), ("limits", limits)):
        for name in ("cpu", "memory"):
            if name not in amounts:
                yield ErrorLine(
                    f"{key}.resources.{side}.{name}", "missing; the namespace's quota admits no pod without it"
                )
        for name, amount in amounts.items():
            if quantity(amount) is None:
                yield ErrorLine(
                    f"{key}.resources.{side}.{name}", f"given {format_value(amount)}; a quantity such as 500m or 2Gi"
                )
    for name in requests.keys() & limits.keys():
        request, limit = quantity(requests[name]), quantity(limits[name])
        if request is not None and limit is not None and request > limit:
            yield ErrorLine(
                f"{key}.resources.requests.{name}",
                f"given {format_value(requests[name])}; the limit is {format_value(limits[name])}: at most that",
            )


def _security_errors(key: str, context: Mapping[str, Any]) -> Iterator[ErrorLine]:
    selinux = mapping_at(context, "seLinuxOptions")
    refused = {
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation", False) is not False,
        "privileged": bool(context.get("privileged")),
        "runAsNonRoot": context.get("runAsNonRoot", True) is not True,
        "runAsUser": context.get("runAsUser", 1) == 0,
        "procMount": context.get("procMount", "Default") != "Default",
        "seccompProfile": not _is_profile(context, "seccompProfile"),
        "appArmorProfile": not _is_profile(context, "appArmorProfile"),
        "seLinuxOptions": str(selinux.get("type", "")) not in SELINUX_TYPES or bool(selinux.keys() & {"user", "role"}),
        "windowsOptions": "windowsOptions" in context,
    }
    for field, wrong in refused.items():
        if wrong:
            yield ErrorLine(
                f"{key}.{field}", f"given {format_value(context.get(field))}; the namespace has the restricted profile"
            )
    capabilities = context.get("capabilities")
    if isinstance(capabilities, Mapping):
        dropped, added = list_at(capabilities, "drop"), list_at(capabilities, "add")
        if "ALL" not in dropped or not MAY_ADD.issuperset(map(str, added)):
            yield ErrorLine(
                f"{key}.capabilities",
                f"given {format_value(capabilities)}; allowed: drop ALL, and add NET_BIND_SERVICE",
            )


def _is_profile(context: Mapping[str, Any], field: str) -> bool:
    if field not in context:
        return True
    profile = mapping_at(context, field)
    return profile.get("type") == "RuntimeDefault" or (
        profile.get("type") == "Localhost" and bool(profile.get("localhostProfile"))
    )


def _host_errors(key: str, container: PlainObject) -> Iterator[ErrorLine]:
    """Yield where a container reaches for its node: by a port of it, or by a probe of another address."""
    for index, port in enumerate(list_at(container, "ports")):
        if isinstance(port, Mapping) and port.get("hostPort"):
            yield ErrorLine(f"{key}.ports[{index}].hostPort", "is not allowed by the restricted profile; remove it")
    handlers = {probe: mapping_at(container, probe) for probe in PROBES}
    lifecycle = mapping_at(container, "lifecycle")
    handlers |= {f"lifecycle.{event}": mapping_at(lifecycle, event) for event in ("postStart", "preStop")}
    for name, handler in handlers.items():
        for action in ("httpGet", "tcpSocket"):
            if mapping_at(handler, action).get("host"):
                yield ErrorLine(
                    f"{key}.{name}.{action}.host",
                    "is not allowed by the restricted profile; without it the container's own address is asked",
                )


def _plain_secret_errors(key: str, container: PlainObject) -> Iterator[ErrorLine]:
    said = "looks like a secret, and would stand in plain text; put it into a Secret"
    for index, variable in enumerate(list_at(container, "env")):
        if isinstance(variable, Mapping) and looks_secret(str(variable.get("name")), str(variable.get("value") or "")):
            yield ErrorLine(f"{key}.env[{index}].value", f"{said} and use valueFrom")
    for where, text in _texts(key, {field: value for field, value in container.items() if field != "env"}):
        if holds_secret(text):
            # Kubernetes expands variables in these two alone.
            expanded = where.startswith((f"{key}.command[", f"{key}.args["))
            yield ErrorLine(
                where, f"{said}, and " + ("write $(NAME) of a variable from it" if expanded else "read it from there")
            )


def _texts(key: str, given: object) -> Iterator[tuple[str, str]]:
    """Yield every text below a key, with its own key."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _texts(below(key, str(name)), value)
    elif isinstance(given, list | tuple):
        for index, value in enumerate(given):
            yield from _texts(f"{key}[{index}]", value)
    elif isinstance(given, str):
        yield key, given
