"""Validation of `fleet:pods` beyond what each key allows: what is the fleet's own, and what a pod needs.

Kubernetes would refuse most of this too, and some of it only when a pod is created: a container without limits meets
the namespace's quota, a host path the restricted profile, and no preview shows either.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.errors import ErrorLine, below, format_value, no_such_queue
from config.kubernetes_objects import (
    affinity_errors,
    container_errors,
    mount_errors,
    spread_errors,
    volume_errors,
)
from config.pods import KEYS_OF_ITEMS, PodOptions, Pods, merged, source_errors
from config.quantities import mebibytes, milli_cpu
from config.schema import FinOps
from config.tuning import BEAT_LIMITS, BEAT_REQUESTS, image_options, queue_options
from config.variables import FLEETS_OWN_PREFIX, FLEETS_OWN_VARIABLES, TRACING_VARIABLES, looks_secret
from queues import IMAGES, QUEUES, Image, Resources

PODS: Final = "fleet:pods"
OWN_LABEL_PREFIXES: Final = ("app.kubernetes.io/", "alphaswarm.io/")
FINOPS_LABELS: Final = frozenset(FinOps.model_fields)
NEEDED_ELSEWHERE: Final = {
    "controller.kubernetes.io/pod-deletion-cost": "is written by beat, see fleet:markBusyPods",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "follows from the key evictable",
    "karpenter.sh/do-not-disrupt": "follows from the key evictable",
}


@dataclass(frozen=True)
class Scope:
    """Options and their key; `more_general` are the options below which they lie."""

    key: str
    options: PodOptions
    more_general: tuple[PodOptions, ...] = ()


def pod_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    """Yield the errors of `fleet:pods`."""
    pods = sections.get("pods")
    if pods is None:
        return
    yield from _queue_errors(pods, sections.get("layout", "per-queue"))
    for scope in scopes(pods):
        yield from _environment_errors(scope)
        yield from _metadata_errors(scope)
        yield from _object_errors(scope)
    yield from _resource_errors(pods)


def scopes(pods: Pods) -> Iterator[Scope]:
    """Yield all options that a stack gives, the most general first."""
    yield Scope(f"{PODS}.all", pods.all)
    for image in IMAGES:
        yield Scope(f"{PODS}.{image.target}", image_options(pods, image), (pods.all,))
    yield Scope(f"{PODS}.beat", pods.beat, (pods.all,))
    for name, options in pods.queues.items():
        if name in QUEUES.names:
            general = (pods.all, image_options(pods, QUEUES.image_of(name)))
            yield Scope(below(f"{PODS}.queues", name), options, general)


def _queue_errors(pods: Pods, layout: str) -> Iterator[ErrorLine]:
    for name in pods.queues:
        key = below(f"{PODS}.queues", name)
        if name not in QUEUES.names:
            yield ErrorLine(key, f"{no_such_queue(name, QUEUES.names)}: correct or remove this key")
        elif layout == "per-image":
            target = QUEUES.image_of(name).target
            yield ErrorLine(key, f"a pod of layout per-image drains all queues of its image: say it in {PODS}.{target}")


def _environment_errors(scope: Scope) -> Iterator[ErrorLine]:
    options = scope.options
    for section, names in (("env", options.env), ("envValueFrom", options.env_value_from)):
        for name in names:
            key = below(f"{scope.key}.{section}", name)
            if name.startswith(FLEETS_OWN_PREFIX) or name in FLEETS_OWN_VARIABLES:
                yield ErrorLine(key, "is the fleet's own; it follows from other keys of this file")
            elif name in TRACING_VARIABLES:
                yield ErrorLine(key, "follows from fleet:tracing")
    for name, value in options.env.items():
        key = below(f"{scope.key}.env", name)
        if name in options.env_value_from:
            yield ErrorLine(key, "stands in envValueFrom too; a variable has one source")
        elif looks_secret(name, value):
            yield ErrorLine(
                key,
                "looks like a secret, and would stand in this file, the state and the Deployment as plain text; put it "
                "into a Secret and name that in envValueFrom, and treat the old value as known",
            )
    for name, reference in options.env_value_from.items():
        yield from source_errors(below(f"{scope.key}.envValueFrom", name), reference)
    for index, source in enumerate(options.env_from):
        yield from source_errors(f"{scope.key}.envFrom[{index}]", source)


def _metadata_errors(scope: Scope) -> Iterator[ErrorLine]:
    for name in scope.options.labels:
        key = below(f"{scope.key}.labels", name)
        if name in FINOPS_LABELS:
            yield ErrorLine(key, "follows from fleet:labels")
        elif name.startswith(OWN_LABEL_PREFIXES) or name == "pod-template-hash":
            yield ErrorLine(key, "is the fleet's own or Kubernetes'; selectors and scale-ins depend on it")
    for name in scope.options.annotations:
        if name in NEEDED_ELSEWHERE:
            yield ErrorLine(below(f"{scope.key}.annotations", name), NEEDED_ELSEWHERE[name])


def _object_errors(scope: Scope) -> Iterator[ErrorLine]:
    options = scope.options
    yield from _repeated_items(scope)
    volumes = [volume for one in (*scope.more_general, options) for volume in one.volumes]
    for index, volume in enumerate(options.volumes):
        yield from volume_errors(f"{scope.key}.volumes[{index}]", volume)
    for index, mount in enumerate(options.volume_mounts):
        yield from mount_errors(f"{scope.key}.volumeMounts[{index}]", mount, volumes)
    for name, containers in (("initContainers", options.init_containers), ("sidecars", options.sidecars)):
        for index, container in enumerate(containers):
            yield from container_errors(f"{scope.key}.{name}[{index}]", container)
    yield from affinity_errors(f"{scope.key}.affinity", options.affinity)
    for index, constraint in enumerate(options.topology_spread_constraints):
        yield from spread_errors(f"{scope.key}.topologySpreadConstraints[{index}]", constraint)


def _repeated_items(scope: Scope) -> Iterator[ErrorLine]:
    for name, key_of in KEYS_OF_ITEMS.items():
        keys = [key_of(item) for item in getattr(scope.options, name)]
        alias = PodOptions.model_fields[name].alias
        for index, key in enumerate(keys):
            if key in keys[:index]:
                yield ErrorLine(f"{scope.key}.{alias}[{index}]", f"stands here twice: {key}")
    before = {str(sidecar.get("name")) for one in (*scope.more_general, scope.options) for sidecar in one.sidecars}
    for index, container in enumerate(scope.options.init_containers):
        if str(container.get("name")) in before:
            yield ErrorLine(f"{scope.key}.initContainers[{index}].name", "a sidecar has this name")


def _resource_errors(pods: Pods) -> Iterator[ErrorLine]:
    """Yield each request above its limit, at the most special key that says either, and each /dev/shm too big."""
    every = Scope(f"{PODS}.all", pods.all)
    for image in IMAGES:
        own = [every, Scope(f"{PODS}.{image.target}", image_options(pods, image))]
        yield from _worker_errors(own, queue_options(pods, image, ()), image)
    for name, options in pods.queues.items():
        if name in QUEUES.names:
            image = QUEUES.image_of(name)
            own = [Scope(below(f"{PODS}.queues", name), options)]
            yield from _worker_errors(own, queue_options(pods, image, (name,)), image)
    beat = Scope(f"{PODS}.beat", pods.beat)
    yield from _request_errors([every, beat], merged(pods.all, pods.beat), BEAT_REQUESTS, BEAT_LIMITS, " for beat")
    yield from _shared_memory_errors([beat], pods.beat, BEAT_LIMITS)


def _worker_errors(said_by: list[Scope], options: PodOptions, image: Image) -> Iterator[ErrorLine]:
    yield from _request_errors(said_by, options, image.requests, image.limits)
    yield from _shared_memory_errors(said_by, options, image.limits)


def _request_errors(
    said_by: list[Scope], options: PodOptions, requests: Resources, limits: Resources, whose: str = ""
) -> Iterator[ErrorLine]:
    tuned = options.resources
    for name, number in (("cpu", milli_cpu), ("memory", mebibytes)):
        request = getattr(tuned.requests, name) or getattr(requests, name)
        limit = getattr(tuned.limits, name) or getattr(limits, name)
        saying = [
            scope
            for scope in said_by
            if getattr(scope.options.resources.requests, name) or getattr(scope.options.resources.limits, name)
        ]
        if saying and number(request) > number(limit):
            yield ErrorLine(
                f"{saying[-1].key}.resources.requests.{name}",
                f"given {format_value(request)}; the limit is {format_value(limit)}{whose}: at most that",
            )


def _shared_memory_errors(said_by: list[Scope], options: PodOptions, limits: Resources) -> Iterator[ErrorLine]:
    memory = options.resources.limits.memory or limits.memory
    sharing = [scope for scope in said_by if scope.options.shared_memory]
    if sharing and options.shared_memory and mebibytes(options.shared_memory) >= mebibytes(memory):
        yield ErrorLine(
            f"{sharing[-1].key}.sharedMemory",
            f"given {format_value(options.shared_memory)}; what lies there counts against the memory limit, which is "
            f"{format_value(memory)}: less than that",
        )
