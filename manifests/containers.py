"""What a stack adds to a pod: variables, containers beside the worker, and their security context.

A sidecar is an init container that is always restarted: Kubernetes starts it before the worker and ends it afterwards.
A second plain container would get SIGTERM together with the worker, and an hour-long task would lose its proxy.
"""

from collections.abc import Iterable, Mapping

from config.pods import EnvFrom, EnvReference, PlainObject, PodOptions
from config.quantities import quantity
from config.variables import REFERENCE
from manifests import ImageReferences, Manifest
from manifests.resources import DISK_OF_SIDECAR


def security_context() -> Manifest:
    """Return the security context of every container of the fleet."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def with_options(environment: Iterable[Manifest], options: PodOptions) -> list[Manifest]:
    """Return a container's variables with the stack's own, which stand over those of the same name."""
    own = [
        *(_value_from(name, reference) for name, reference in options.env_value_from.items()),
        *(env_var(name, value) for name, value in _referred_to_first(options.env).items()),
    ]
    replaced = {variable["name"] for variable in own}
    return [*(variable for variable in environment if variable["name"] not in replaced), *own]


def _referred_to_first(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the texts in an order in which each stands behind those that it refers to, as far as there is one.

    $(NAME) stands for a variable that was defined before, and the engine hands a mapping over by its sorted keys.
    """
    ordered: dict[str, str] = {}

    def add(name: str, above: frozenset[str]) -> None:
        if name in texts and name not in ordered and name not in above:
            for reference in REFERENCE.finditer(texts[name]):
                add(reference["name"], above | {name})
            ordered[name] = texts[name]

    for name in texts:
        add(name, frozenset())
    return ordered


def env_var(name: str, value: object) -> Manifest:
    """Return a variable with a plain value."""
    return {"name": name, "value": str(value)}


def env_sources(options: PodOptions) -> list[Manifest]:
    """Return what all keys of become variables: a container's `envFrom`."""
    return [
        {**({"prefix": source.prefix} if source.prefix else {}), **_reference(source, "Ref", {})}
        for source in options.env_from
    ]


def init_containers(options: PodOptions, images: ImageReferences) -> list[Manifest]:
    """Return the pod's init containers: sidecars first, since others may want what these serve.

    The name of one of the fleet's images stands for that image as the pods have it, whose digest no file can know.
    """
    return [
        *({**_hardened(sidecar, images), "restartPolicy": "Always"} for sidecar in options.sidecars),
        *(_hardened(container, images) for container in options.init_containers),
    ]


def _hardened(container: PlainObject, images: ImageReferences) -> Manifest:
    """Return the container with the fleet's security context, and room on the disk, as far as it does not say them.

    A pod is evicted when its containers wrote more than the sum of their limits: without one of its own, what a sidecar
    writes would be taken from the worker's.
    """
    own = container.get("securityContext", {})
    amounts = container.get("resources", {})
    requested = amounts.get("requests", {}).get("ephemeral-storage", DISK_OF_SIDECAR)
    room = max(DISK_OF_SIDECAR, requested, key=lambda amount: quantity(amount) or 0)
    limits = {"ephemeral-storage": room, **amounts.get("limits", {})}
    return {
        **container,
        "image": images.get(container["image"], container["image"]),
        "securityContext": {**security_context(), **own},
        "resources": {**amounts, "limits": limits},
    }


def _value_from(name: str, reference: EnvReference) -> Manifest:
    if reference.field is not None:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": reference.field}}}
    return {"name": name, "valueFrom": _reference(reference, "KeyRef", {"key": reference.key})}


def _reference(source: EnvReference | EnvFrom, suffix: str, key: Manifest) -> Manifest:
    kind, name = ("secret", source.secret) if source.secret else ("configMap", source.config_map)
    return {f"{kind}{suffix}": {"name": name, **key, **({"optional": True} if source.optional else {})}}
