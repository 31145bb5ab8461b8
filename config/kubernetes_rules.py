"""Rules of Kubernetes' validation of one kind of object each, where no table of kubernetes_values.py says enough."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from config.errors import ErrorLine, below, format_value
from config.plain_objects import list_at, mapping_at

Rule = Callable[[str, Mapping[str, Any]], Iterator[ErrorLine]]

# What a container's variable, and what a file of a volume, may tell of the pod.
METADATA: Final = r"metadata\.(name|namespace|uid|labels\['[^']+'\]|annotations\['[^']+'\])"
POD_FIELD: Final = rf"^({METADATA}|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$"
VARIABLE_FIELDS: Final = re.compile(POD_FIELD)
FILE_FIELDS: Final = re.compile(METADATA + r"|metadata\.(labels|annotations)")
AMOUNTS: Final = re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)")
EVERY_NODES: Final = re.compile(r"cpu|memory|ephemeral-storage")
PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
LISTED: Final = frozenset({"In", "NotIn"})
COMPARED: Final = frozenset({"Gt", "Lt"})
ONCE_IS_ENOUGH: Final = ("livenessProbe", "startupProbe")


def _requirement_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield an error where the values of a requirement do not fit its operator."""
    operator, values = given.get("operator"), given.get("values") or ()
    if not isinstance(operator, str) or not isinstance(values, list | tuple):
        return
    if operator in LISTED and not values:
        yield ErrorLine(f"{key}.values", f"missing; operator {operator} compares with one value or more")
    elif operator in COMPARED and not (len(values) == 1 and str(values[0]).lstrip("-").isdecimal()):
        yield ErrorLine(f"{key}.values", f"given {format_value(values)}; operator {operator} takes one whole number")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield ErrorLine(f"{key}.values", f"is of no use with operator {operator}; remove it")


def _variable_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    return _reference_errors(key, VARIABLE_FIELDS, given)


def _file_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    return _reference_errors(key, FILE_FIELDS, given)


def _reference_errors(key: str, fields: re.Pattern[str], given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield an error where a variable or a file is to have what Kubernetes does not tell of a pod."""
    path = mapping_at(given, "fieldRef").get("fieldPath")
    if isinstance(path, str) and not fields.fullmatch(path):
        yield ErrorLine(f"{key}.fieldRef.fieldPath", f"given {format_value(path)}; no field that Kubernetes tells here")
    resource = mapping_at(given, "resourceFieldRef").get("resource")
    if isinstance(resource, str) and not AMOUNTS.fullmatch(resource):
        yield ErrorLine(
            f"{key}.resourceFieldRef.resource", f"given {format_value(resource)}; allowed: such as limits.memory"
        )


def _spread_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    if "minDomains" in given and given.get("whenUnsatisfiable") != "DoNotSchedule":
        yield ErrorLine(f"{key}.minDomains", "is for whenUnsatisfiable: DoNotSchedule; remove one of them")


def _medium_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield an error for a medium that the API server takes and no node has: the pod would never start."""
    if given.get("medium", "") not in ("", "Memory"):
        yield ErrorLine(f"{key}.medium", f"given {format_value(given['medium'])}; allowed: Memory, or nothing")


def _mount_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    if given.get("mountPropagation") == "Bidirectional":
        yield ErrorLine(f"{key}.mountPropagation", "given 'Bidirectional', which is for privileged containers alone")


def _container_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield what the API server refuses of a container's parts by their place, or beside one another."""
    yield from _resource_errors(f"{key}.resources", mapping_at(given, "resources"))
    yield from _port_errors(key, _each(given, "ports", "name"))
    yield from _path_errors(key, _each(given, "volumeMounts", "mountPath"))
    yield from _probe_errors(key, given)


def _resource_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    """Yield an error for each resource that no container can ask for, or not so."""
    requests, limits = mapping_at(given, "requests"), mapping_at(given, "limits")
    for name in map(str, {**requests, **limits}):
        where = below(f"{key}.{'requests' if name in requests else 'limits'}", name)
        amount = requests.get(name, limits.get(name))
        if EVERY_NODES.fullmatch(name):
            continue
        if "/" not in name and not name.startswith("hugepages-"):
            yield ErrorLine(where, "no resource of a container; others are named such as nvidia.com/gpu")
        elif str(limits.get(name)) != str(amount):
            yield ErrorLine(where, f"given {format_value(amount)}; its limit must be there, and the same")
        elif "/" in name and not str(amount).isdecimal():
            yield ErrorLine(where, f"given {format_value(amount)}; a whole number, for it cannot be shared")


def _each(given: Mapping[str, Any], key: str, field: str) -> list[object]:
    """Return a field of each item of a list."""
    return [item.get(field) if isinstance(item, Mapping) else None for item in list_at(given, key)]


def _port_errors(key: str, names: list[object]) -> Iterator[ErrorLine]:
    for index, name in enumerate(names):
        if isinstance(name, str) and (name in names[:index] or not PORT_NAME.fullmatch(name)):
            said = "stands here twice" if name in names[:index] else "lower case letters, digits and dashes, at most 15"
            yield ErrorLine(f"{key}.ports[{index}].name", f"given {format_value(name)}; {said}")


def _path_errors(key: str, paths: list[object]) -> Iterator[ErrorLine]:
    for index, path in enumerate(paths):
        if isinstance(path, str) and path in paths[:index]:
            yield ErrorLine(f"{key}.volumeMounts[{index}].mountPath", f"given {format_value(path)}; stands here twice")


def _probe_errors(key: str, given: Mapping[str, Any]) -> Iterator[ErrorLine]:
    for name in ONCE_IS_ENOUGH:
        times = mapping_at(given, name).get("successThreshold", 1)
        if times not in (1, 0):
            yield ErrorLine(f"{key}.{name}.successThreshold", f"given {format_value(times)}; allowed: 1")
    if "terminationGracePeriodSeconds" in mapping_at(given, "readinessProbe"):
        yield ErrorLine(f"{key}.readinessProbe.terminationGracePeriodSeconds", "is for the other probes; remove it")


RULES: Final[Mapping[str, Rule]] = {
    "Container": _container_errors,
    "DownwardAPIVolumeFile": _file_errors,
    "EmptyDirVolumeSource": _medium_errors,
    "EnvVarSource": _variable_errors,
    "LabelSelectorRequirement": _requirement_errors,
    "NodeSelectorRequirement": _requirement_errors,
    "TopologySpreadConstraint": _spread_errors,
    "VolumeMount": _mount_errors,
}
