"""Validation of `fleet:pods` beyond what each key allows: what is the fleet's own, and what a pod needs.

Kubernetes would refuse most of this too, and some of it only when a pod is created: a container without limits meets
the namespace's quota, a host path the restricted profile, and no preview shows either.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.errors import ErrorLine, below, format_value, no_such_queue, one_line
from config.kubernetes_objects import (
    AUTHORITY_VOLUME,
    SHARED_MEMORY,
    TMP,
    affinity_errors,
    container_errors,
    memory_of,
    mount_errors,
    spread_errors,
    volume_errors,
)
from config.pods import (
    KEYS_OF_ITEMS,
    Amounts,
    PodOptions,
    Pods,
    WorkerOptions,
    merged,
    reference_errors,
    source_errors,
    toleration_errors,
)
from config.quantities import format_mebibytes, mebibytes, milli_cpu
from config.schema import FinOps
from config.tuning import BEAT_LIMITS, BEAT_REQUESTS, image_options, queue_options
from config.variables import (
    FLEETS_OWN_VARIABLES,
    IMAGES_OWN_VARIABLES,
    RUNTIME_VARIABLES,
    TRACING_VARIABLES,
    holds_secret,
    looks_secret,
)
from config.volumes import DIRECTORIES, directories
from queues import IMAGES, QUEUES, WORKER, Image, Resources

PODS: Final = "fleet:pods"
OWN_LABEL_PREFIXES: Final = ("app.kubernetes.io/", "alphaswarm.io/")
FINOPS_LABELS: Final = frozenset(FinOps.model_fields)
NEEDED_ELSEWHERE: Final = {
    "controller.kubernetes.io/pod-deletion-cost": "is written by beat, see fleet:markBusyPods",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "follows from the key evictable",
    "karpenter.sh/do-not-disrupt": "follows from the key evictable",
}
PROFILE_ANNOTATIONS: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)


@dataclass(frozen=True)
class Scope:
    """Options and their key; `more_general` are the options below which they lie.

    `own_volumes` are the names of the fleet's volumes that all pods of the options have, `directories` the images' own
    directories that one of them has.
    """

    key: str
    options: PodOptions
    more_general: tuple[PodOptions, ...] = ()
    own_volumes: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()


def pod_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    """Yield the errors of `fleet:pods`."""
    pods = sections.get("pods")
    if pods is None:
        return
    yield from _queue_errors(pods, sections.get("layout", "per-queue"))
    # A broker that cannot be read may have an authority.
    authority = "broker" not in sections or (sections["broker"] is not None and sections["broker"].ca)
    for scope in scopes(pods, frozenset({AUTHORITY_VOLUME}) if authority else frozenset()):
        yield from _environment_errors(scope, traced=sections.get("tracing") is not None)
        yield from _metadata_errors(scope)
        yield from _object_errors(scope)
    yield from _resource_errors(pods)


def scopes(pods: Pods, everywhere: frozenset[str]) -> Iterator[Scope]:
    """Yield all options that a stack gives, the most general first; every pod has the volumes `everywhere`."""
    of_image = {image: everywhere | {TMP, SHARED_MEMORY} | _folders(image) for image in IMAGES}
    of_beat = everywhere | {TMP} | _folders(WORKER)
    everyones = of_beat.intersection(*of_image.values())
    yield Scope(f"{PODS}.all", pods.all, own_volumes=everyones, directories=frozenset(DIRECTORIES))
    for image in IMAGES:
        yield Scope(
            f"{PODS}.{image.target}",
            image_options(pods, image),
            (pods.all,),
            of_image[image],
            frozenset(directories(image)),
        )
    yield Scope(f"{PODS}.beat", pods.beat, (pods.all,), of_beat, frozenset(directories(WORKER)))
    for name, options in pods.queues.items():
        if name in QUEUES.names:
            image = QUEUES.image_of(name)
            general = (pods.all, image_options(pods, image))
            key = below(f"{PODS}.queues", name)
            yield Scope(key, options, general, of_image[image], frozenset(directories(image)))


def _folders(image: Image) -> frozenset[str]:
    return frozenset(path.rpartition("/")[2] for path in directories(image))


def _queue_errors(pods: Pods, layout: str) -> Iterator[ErrorLine]:
    for name in pods.queues:
        key = below(f"{PODS}.queues", name)
        if name not in QUEUES.names:
            yield ErrorLine(key, f"{no_such_queue(name, QUEUES.names)}: correct or remove this key")
        elif layout == "per-image":
            target = QUEUES.image_of(name).target
            yield ErrorLine(key, f"a pod of layout per-image drains all queues of its image: say it in {PODS}.{target}")


def _environment_errors(scope: Scope, *, traced: bool) -> Iterator[ErrorLine]:
    options = scope.options
    for section, names in (("env", options.env), ("envValueFrom", options.env_value_from)):
        for name in names:
            key = below(f"{scope.key}.{section}", name)
            if name in FLEETS_OWN_VARIABLES:
                yield ErrorLine(key, "is the fleet's own; it follows from other keys of this file")
            elif name in IMAGES_OWN_VARIABLES:
                yield ErrorLine(key, "is the images' own; Kubernetes does not know it, so $(NAME) would stay as it is")
            elif traced and name in TRACING_VARIABLES:
                yield ErrorLine(key, "follows from fleet:tracing")
    for name, value in options.env.items():
        key = below(f"{scope.key}.env", name)
        if name in options.env_value_from:
            yield ErrorLine(key, "stands in envValueFrom too; a variable has one source")
        yield from _text_errors(key, name, value)
    for name, reference in options.env_value_from.items():
        yield from reference_errors(below(f"{scope.key}.envValueFrom", name), reference)
    for index, source in enumerate(options.env_from):
        yield from source_errors(f"{scope.key}.envFrom[{index}]", source)


def _text_errors(key: str, name: str, value: str) -> Iterator[ErrorLine]:
    if looks_secret(name, value):
        yield ErrorLine(
            key,
            "looks like a secret, and would stand in this file, the state and the Deployment as plain text; put it "
            "into a Secret and name that in envValueFrom, and treat the old value as known",
        )
    elif name in RUNTIME_VARIABLES and not RUNTIME_VARIABLES[name][0].fullmatch(value):
        yield ErrorLine(key, f"given {format_value(value)}; allowed: {RUNTIME_VARIABLES[name][1]}")


def _metadata_errors(scope: Scope) -> Iterator[ErrorLine]:
    for name in scope.options.labels:
        key = below(f"{scope.key}.labels", name)
        if name in FINOPS_LABELS:
            yield ErrorLine(key, "follows from fleet:labels")
        elif name.startswith(OWN_LABEL_PREFIXES) or name == "pod-template-hash":
            yield ErrorLine(key, "is the fleet's own or Kubernetes'; selectors and scale-ins depend on it")
    for name, value in scope.options.annotations.items():
        key = below(f"{scope.key}.annotations", name)
        if name in NEEDED_ELSEWHERE:
            yield ErrorLine(key, NEEDED_ELSEWHERE[name])
        elif name.startswith(PROFILE_ANNOTATIONS):
            yield ErrorLine(key, "is not allowed by the restricted profile; its pods would be refused one by one")
        elif holds_secret(value):
            yield ErrorLine(key, "looks like a secret, and would stand in plain text; treat it as known")


def _object_errors(scope: Scope) -> Iterator[ErrorLine]:
    options = scope.options
    yield from _repeated_items(scope)
    volumes = _volume_names(scope)
    for index, volume in enumerate(options.volumes):
        yield from volume_errors(f"{scope.key}.volumes[{index}]", volume)
    for index, mount in enumerate(options.volume_mounts):
        yield from mount_errors(f"{scope.key}.volumeMounts[{index}]", mount, volumes, scope.directories)
    for name, containers in (("initContainers", options.init_containers), ("sidecars", options.sidecars)):
        for index, container in enumerate(containers):
            yield from container_errors(
                f"{scope.key}.{name}[{index}]", container, volumes, sidecar=containers is options.sidecars
            )
    for index, toleration in enumerate(options.tolerations):
        yield from toleration_errors(f"{scope.key}.tolerations[{index}]", toleration)
    yield from affinity_errors(f"{scope.key}.affinity", options.affinity)
    for index, constraint in enumerate(options.topology_spread_constraints):
        yield from spread_errors(f"{scope.key}.topologySpreadConstraints[{index}]", constraint)


def _volume_names(scope: Scope) -> frozenset[str] | None:
    """Return the names of the pods' volumes; None where one has none, and it cannot be told which a mount means."""
    names = [volume.get("name") for options in (*scope.more_general, scope.options) for volume in options.volumes]
    named = frozenset(name for name in names if isinstance(name, str))
    return scope.own_volumes | named if all(isinstance(name, str) for name in names) else None


def _repeated_items(scope: Scope) -> Iterator[ErrorLine]:
    for name, key_of in KEYS_OF_ITEMS.items():
        keys = [key_of(item) for item in getattr(scope.options, name)]
        alias = PodOptions.model_fields[name].alias
        for index, key in enumerate(keys):
            if key in keys[:index]:
                yield ErrorLine(f"{scope.key}.{alias}[{index}]", f"stands here twice: {one_line(key)}")
    every = (*scope.more_general, scope.options)
    for alias, own, others, kind in (
        ("initContainers", scope.options.init_containers, [one.sidecars for one in every], "a sidecar"),
        ("sidecars", scope.options.sidecars, [one.init_containers for one in scope.more_general], "an init container"),
    ):
        taken = {str(container.get("name")) for containers in others for container in containers}
        for index, container in enumerate(own):
            if str(container.get("name")) in taken:
                yield ErrorLine(f"{scope.key}.{alias}[{index}].name", f"{kind} has this name")


def _resource_errors(pods: Pods) -> Iterator[ErrorLine]:
    """Yield what its limit has no room for: a request, volumes in memory, a process."""
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
    of_beat = merged(pods.all, pods.beat)
    yield from _request_errors([every, beat], of_beat, BEAT_REQUESTS, BEAT_LIMITS, " for beat")
    without_workers = of_beat.model_copy(update={"shared_memory": None, "max_memory_per_child": None})
    yield from _memory_errors([every, beat], without_workers, BEAT_LIMITS, " for beat")


def _worker_errors(said_by: list[Scope], options: WorkerOptions, image: Image) -> Iterator[ErrorLine]:
    yield from _request_errors(said_by, options, image.requests, image.limits)
    yield from _memory_errors(said_by, options, image.limits)


def _request_errors(
    said_by: list[Scope], options: PodOptions, requests: Resources, limits: Resources, whose: str = ""
) -> Iterator[ErrorLine]:
    tuned = options.resources
    for name, number in (("cpu", milli_cpu), ("memory", mebibytes), ("ephemeral_storage", mebibytes)):
        # The disk's request and limit follow one another where a stack says one alone (manifests/resources.py).
        request = getattr(tuned.requests, name) or getattr(requests, name, None)
        limit = getattr(tuned.limits, name) or getattr(limits, name, None)
        saying = [
            scope
            for scope in said_by
            if getattr(scope.options.resources.requests, name) or getattr(scope.options.resources.limits, name)
        ]
        if saying and request and limit and number(request) > number(limit):
            yield ErrorLine(
                f"{saying[-1].key}.resources.requests.{Amounts.model_fields[name].alias or name}",
                f"given {format_value(request)}; the limit is {format_value(limit)}{whose}: at most that",
            )


def _memory_errors(
    said_by: list[Scope], options: WorkerOptions, limits: Resources, whose: str = ""
) -> Iterator[ErrorLine]:
    """Yield what cannot be within the memory limit, at the most special key that says it or the limit."""
    memory = options.resources.limits.memory or limits.memory
    shared = mebibytes(options.shared_memory) if options.shared_memory else 0
    volumes = sum(map(memory_of, options.volumes))
    child = mebibytes(options.max_memory_per_child) if options.max_memory_per_child else 0
    for field, amount, why in (
        ("shared_memory", shared, "what lies in /dev/shm counts against"),
        ("volumes", volumes and volumes + shared, "what lies in memory there and in /dev/shm counts against"),
        ("max_memory_per_child", child, "no process is replaced at that size, for its pod ends before, at"),
    ):
        alias = WorkerOptions.model_fields[field].alias
        saying = [
            scope
            for scope in said_by
            if field in scope.options.model_fields_set or scope.options.resources.limits.memory
        ]
        if not saying or amount < mebibytes(memory):
            continue
        if field in saying[-1].options.model_fields_set:
            yield ErrorLine(
                f"{saying[-1].key}.{alias}",
                f"given {format_mebibytes(amount)}; {why} the memory limit, which is {memory}{whose}: less than that",
            )
        else:
            yield ErrorLine(
                f"{saying[-1].key}.resources.limits.memory",
                f"given {memory}; {alias} is {format_mebibytes(amount)}, and {why} the limit: more than that",
            )
