"""Workloads and ScaledObjects of Kubernetes: what each container runs, and the lists that KEDA counts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from surfaces.audit.dockerfile import run
from surfaces.audit.model import UNKNOWN, Location, Scaler, Surface, Unit
from surfaces.audit.texts import environment_of, image_names, seconds, shown, whole
from surfaces.audit.walk import is_aside
from surfaces.audit.yaml_lines import Mapping as Tree
from surfaces.audit.yaml_lines import get, line_of, mapping, mappings

DEFAULT_GRACE = 30.0  # seconds; terminationGracePeriodSeconds
MARKS = (b"celery", b"Celery", b"worker", b"queue", b"QUEUE", b"keda", b"beat")

_POD = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_WORKLOADS = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout", "DeploymentConfig",
     "Job", "Pod", "CronJob"}
)  # fmt: skip
# Where a trigger says what it counts: https://keda.sh/docs/scalers/
_COUNTED = {
    "redis": "listName",
    "redis-cluster": "listName",
    "redis-sentinel": "listName",
    "rabbitmq": "queueName",
}


@dataclass(frozen=True)
class Object:
    """An object and the file it stands in."""

    tree: Tree
    path: str

    @property
    def kind(self) -> str:
        """Its kind, "" if it says none."""
        return str(self.tree.get("kind", ""))

    @property
    def name(self) -> str:
        """Its name, a question mark if it says none."""
        return shown(str(get(self.tree, "metadata", "name") or "?"))

    @property
    def namespace(self) -> str | None:
        """Its namespace, None if it says none."""
        found = get(self.tree, "metadata", "namespace")
        return str(found) if found else None


def objects(trees: list[object], path: str) -> Iterator[Object]:
    """Yield a file's objects, and those within Lists."""
    for tree in trees:
        if not isinstance(tree, Tree) or "kind" not in tree:
            continue
        if str(tree["kind"]).endswith("List") and isinstance(tree.get("items"), list):
            yield from objects(tree["items"], path)
        else:
            yield Object(tree, path)


def plain_surface(path: str) -> Surface:
    """Return the surface of a manifest that no Kustomize tree or chart has: its topmost folder, by environment."""
    parts = path.split("/")[:-1]
    until = max((index for index, part in enumerate(parts) if environment_of(part)), default=0)
    return Surface("kubernetes", "/".join(parts[: until + 1]) or ".", aside=is_aside(path))


def units(found: list[Object], surface: Surface) -> Iterator[Unit]:
    """Yield every container of every workload."""
    maps = {
        item.name: {str(key): str(value) for key, value in mapping(item.tree.get("data")).items()}
        for item in found
        if item.kind == "ConfigMap"
    }
    for item in found:
        if item.kind in _WORKLOADS:
            pod = mapping(get(item.tree, *_POD.get(item.kind, ("spec", "template", "spec"))))
            for container in mappings(pod.get("containers")):
                yield _unit(surface, item, pod, container, maps)


def _unit(surface: Surface, item: Object, pod: Tree, container: Tree, maps: Mapping[str, Mapping[str, str]]) -> Unit:
    environment = _environment(container, maps)
    command = run(_words(container.get("command"), environment), _words(container.get("args"), environment))
    reference = container.get("image")
    grace = seconds(pod.get("terminationGracePeriodSeconds"))
    replicas = whole(get(item.tree, "spec", "replicas"))
    name = item.name if len(mappings(pod.get("containers"))) == 1 else f"{item.name}/{container.get('name', '?')}"
    said = next((key for key in ("args", "command") if key in container), None)
    return Unit(
        surface=surface,
        name=shown(name),
        command=command,
        location=Location(item.path, line_of(container, said)),
        image=shown(str(reference)) if reference else None,
        images=image_names(str(reference) if reference else None),
        environment=environment,
        grace=DEFAULT_GRACE if grace is None else grace,
        grace_is_default=pod.get("terminationGracePeriodSeconds") is None,
        replicas=1 if replicas is None else replicas,
        namespace=item.namespace,
        certain=UNKNOWN not in str(command),
    )


def _environment(container: Tree, maps: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in mappings(container.get("envFrom")):
        found.update(maps.get(str(get(source, "configMapRef", "name")), {}))
    for entry in mappings(container.get("env")):
        name = str(entry.get("name"))
        reference = get(entry, "valueFrom", "configMapKeyRef")
        if entry.get("value") is not None:
            found[name] = _expanded(str(entry["value"]), found)
        elif isinstance(reference, Tree):
            found[name] = maps.get(str(reference.get("name")), {}).get(str(reference.get("key")), UNKNOWN)
    return found


def _words(value: object, environment: Mapping[str, str]) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = [value]
    return tuple(_expanded(str(word), environment) for word in value) if isinstance(value, list) else None


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$(NAME)`, the one form that Kubernetes itself knows."""
    return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda match: environment.get(match[1], UNKNOWN), text)


def scalers(found: list[Object], surface: Surface) -> Iterator[Scaler]:
    """Yield what KEDA scales, and by which lists."""
    for item in found:
        if item.kind == "HorizontalPodAutoscaler":
            yield _autoscaler(item, surface)
        if item.kind not in ("ScaledObject", "ScaledJob"):
            continue
        triggers = mappings(get(item.tree, "spec", "triggers"))
        lists, others, kind = [], False, ""
        for trigger in triggers:
            key = _COUNTED.get(str(trigger.get("type")))
            name = get(trigger, "metadata", key) if key else None
            if not isinstance(name, str):
                others = True
                continue
            kind = str(trigger.get("type")).partition("-")[0]
            lists.append(name)
        if lists:
            yield Scaler(
                surface=surface,
                name=item.name,
                target=_target(item),
                lists=tuple(lists),
                location=Location(item.path, _list_line(triggers)),
                kind=kind,
                counts_more=others or any(_counts_running(name) for name in lists),
                maximum=whole(get(item.tree, "spec", "maxReplicaCount")),
                certain=not any(UNKNOWN in name for name in lists),
            )


def _autoscaler(item: Object, surface: Surface) -> Scaler:
    maximum = whole(get(item.tree, "spec", "maxReplicas"))
    location = Location(item.path, line_of(mapping(item.tree.get("spec")), "maxReplicas"))
    return Scaler(surface, item.name, _target(item), (), location, kind="hpa", counts_more=True, maximum=maximum)


def _target(item: Object) -> str | None:
    name = get(item.tree, "spec", "scaleTargetRef", "name")
    return shown(str(name)) if name else None


def _list_line(triggers: list[Tree]) -> int:
    for trigger in triggers:
        for key in ("listName", "queueName"):
            if get(trigger, "metadata", key):
                return line_of(trigger["metadata"], key)
    return 1


def _counts_running(name: str) -> bool:
    """Whether a list's name is that of running tasks: kombu's default `unacked`, or a key that holds that word."""
    return "unacked" in name or "running" in name
