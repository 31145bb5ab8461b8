"""Pod templates: one hardened container, with a read-only root, that is configured by its environment.

Probes read files that the worker touches (7 ms); `celery inspect ping` costs 560 ms each time and fails when a worker
is merely busy. Service links are off: a Service named `redis` would put REDIS_… variables beside the credentials.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from config.kubernetes_objects import AUTHORITY_VOLUME
from config.pods import PodOptions, Toleration, WorkerOptions, by_key, no_options, spread_key
from config.quantities import mebibytes
from config.schema import Settings
from config.tuning import BEAT_LIMITS, BEAT_REQUESTS, beat_options, worker_options
from manifests import ImageReferences, Manifest, beat_access
from manifests.broker import AUTHORITY_DIRECTORY, authority_volume, broker_environment, held_empty
from manifests.containers import env_sources, env_var, init_containers, security_context, with_options
from manifests.metadata import INSTANCE, METRICS_PORT, Labels, priority_class_name
from manifests.process_environment import CACHES, thread_variables
from manifests.queue_scaling import scaling_environment
from manifests.resources import resources, shared_memory, threads
from manifests.volumes import MountedVolume, beat_volumes, worker_volumes
from manifests.workload import Workload
from queues import Image, Priority

PROBE_COMMAND = ("python", "-m", "alphaswarm_runtime", "probe")
PROBE_GRACE_PERIOD = 60  # seconds: a process that hangs does not use the hours that a running task would get
BEAT_GRACE_PERIOD = timedelta(seconds=30)

NEVER_EVICT = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def worker_pod_template(settings: Settings, workload: Workload, images: ImageReferences, labels: Labels) -> Manifest:
    """Return the pod template of a Celery worker."""
    image, options = workload.image, worker_options(settings, workload.image, workload.queues)
    volumes = (
        *worker_volumes(settings, image, workload.queues, shared_memory(image.limits, options)),
        *_broker_volumes(settings),
    )
    gpus = {settings.gpu.resource: str(workload.gpus)} if workload.gpus and settings.gpu else {}
    container = _container(
        settings,
        options,
        volumes,
        role="worker",
        image=images[image.name],
        environment=[*_common_environment(settings, workload.name), *_worker_environment(workload, options)],
        amounts=resources(image.requests, image.limits, options, _disk(volumes), gpus),
    )
    spec = {
        **_pod_spec(settings, image, workload.priority, workload.grace_period, workload.name, options),
        **_placement(settings, workload, options),
        **_contents(container, volumes, options, images),
    }
    annotations = dict(NEVER_EVICT) if workload.spared(options.evictable) else {}
    return {"metadata": _metadata(labels, annotations, options), "spec": spec}


def beat_pod_template(settings: Settings, image: Image, images: ImageReferences, labels: Labels, name: str) -> Manifest:
    """Return the pod template of Celery beat; it alone may have access to the Kubernetes API."""
    options = beat_options(settings)
    volumes = (*beat_volumes(image), *_broker_volumes(settings))
    if settings.mark_busy_pods:
        mount = {"name": beat_access.VOLUME, "mountPath": beat_access.DIRECTORY, "readOnly": True}
        volumes = (*volumes, MountedVolume(beat_access.access_volume(), mount))
    access = [env_var("ALPHASWARM_API_ACCESS", beat_access.DIRECTORY)] if settings.mark_busy_pods else []
    container = _container(
        settings,
        options,
        volumes,
        role="beat",
        image=images[image.name],
        environment=[
            *_common_environment(settings, name),
            *access,
            *scaling_environment(settings),
            *_thread_environment(1),
        ],
        amounts=resources(BEAT_REQUESTS, BEAT_LIMITS, options, _disk(volumes)),
    )
    spec = {
        **_pod_spec(settings, image, Priority.STANDARD, BEAT_GRACE_PERIOD, name, options),
        **_placement(settings, None, options),
        **_contents(container, volumes, options, images),
    }
    return {"metadata": _metadata(labels, {}, options), "spec": spec}


def _broker_volumes(settings: Settings) -> Iterator[MountedVolume]:
    if settings.broker.ca is not None:
        mount = {"name": AUTHORITY_VOLUME, "mountPath": AUTHORITY_DIRECTORY, "readOnly": True}
        yield MountedVolume(authority_volume(settings.broker.ca), mount)


def _metadata(labels: Labels, annotations: Mapping[str, str], options: PodOptions) -> Manifest:
    every = {**annotations, **options.annotations}
    return {"labels": {**options.labels, **labels}, **({"annotations": every} if every else {})}


def _pod_spec(
    settings: Settings,
    image: Image,
    priority: Priority,
    grace_period: timedelta,
    instance: str,
    options: PodOptions,
) -> Manifest:
    spread = [_spread_over(key, instance) for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")]
    return {
        "serviceAccountName": image.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_class_name(settings, priority),
        "terminationGracePeriodSeconds": int(grace_period.total_seconds()),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": image.uid,
            "runAsGroup": image.uid,
            "fsGroup": image.uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            constraint if "labelSelector" in constraint else {**constraint, "labelSelector": _selector(instance)}
            for constraint in by_key([*spread, *options.topology_spread_constraints], spread_key)
        ],
    }


def _placement(settings: Settings, workload: Workload | None, options: PodOptions) -> Manifest:
    """Return which nodes a pod may run on: what the stack says of it, and of the nodes with GPUs."""
    gpu = settings.gpu if workload is not None and workload.gpus else None
    selector, affinity = options.node_selector, options.affinity
    if gpu is not None and workload is not None:
        # What a stack says of every pod's or the image's nodes is of those without GPUs.
        own = _options_of_queue(settings, workload)
        selector = {**gpu.node_selector, **own.node_selector}
        affinity = {key: terms for key, terms in affinity.items() if key != "nodeAffinity" or key in own.affinity}
    tolerations = (*(gpu.tolerations if gpu else ()), *options.tolerations)
    every: Manifest = {
        "nodeSelector": selector,
        "tolerations": [_toleration(toleration) for toleration in tolerations],
        "affinity": affinity,
        "runtimeClassName": options.runtime_class,
        "imagePullSecrets": [{"name": name} for name in options.image_pull_secrets],
        "hostAliases": [alias.model_dump(by_alias=True, mode="json") for alias in options.host_aliases],
    }
    return {key: value for key, value in every.items() if value}


def _options_of_queue(settings: Settings, workload: Workload) -> PodOptions:
    """Return what a stack says of the pods of this queue alone; nothing where they drain several."""
    name = workload.only_queue.name if workload.only_queue else ""
    return settings.pods.queues.get(name, no_options())


def _toleration(toleration: Toleration) -> Manifest:
    operator = toleration.operator or ("Exists" if toleration.value is None else "Equal")
    return toleration.model_copy(update={"operator": operator}).model_dump(by_alias=True, exclude_none=True)


def _contents(
    container: Manifest, volumes: Sequence[MountedVolume], options: PodOptions, images: ImageReferences
) -> Manifest:
    before = init_containers(options, images)
    return {
        **({"initContainers": before} if before else {}),
        "containers": [container],
        "volumes": [*(one.volume for one in volumes), *options.volumes],
    }


def _spread_over(topology_key: str, instance: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": _selector(instance),
        "matchLabelKeys": ["pod-template-hash"],
    }


def _selector(instance: str) -> Manifest:
    return {"matchLabels": {INSTANCE: instance}}


def _container(
    settings: Settings,
    options: PodOptions,
    volumes: Sequence[MountedVolume],
    *,
    role: str,
    image: object,
    environment: list[Manifest],
    amounts: Manifest,
) -> Manifest:
    """Return the container that runs as `role` with these variables and resources."""
    sources, grace = env_sources(options), {"terminationGracePeriodSeconds": PROBE_GRACE_PERIOD}
    if sources:
        environment = [*environment, *held_empty(environment)]
    container: Manifest = {
        "name": role,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [role],
        **({"envFrom": sources} if sources else {}),
        "env": with_options(environment, options),
        "resources": amounts,
        "securityContext": security_context(),
        "volumeMounts": [*(one.mount for one in volumes), *options.volume_mounts],
        # Importing the application may take a minute on a cold node; until then liveness must not judge.
        "startupProbe": {**_probe("live", period=5, failures=60), **grace},
        "livenessProbe": {**_probe("live", period=15, failures=4), **grace},
        "readinessProbe": _probe("ready", period=10, failures=3),
    }
    if settings.metrics.enabled:
        container["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}]
    return container


def _probe(kind: str, period: int, failures: int) -> Manifest:
    return {
        "exec": {"command": [*PROBE_COMMAND, kind]},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _disk(volumes: Sequence[MountedVolume]) -> int:
    return sum(one.disk for one in volumes)


def _common_environment(settings: Settings, instance: str) -> list[Manifest]:
    environment = [
        env_var("CELERY_APP", settings.celery_app),
        env_var("ALPHASWARM_LOG_FORMAT", "json"),
        *broker_environment(settings),
    ]
    if settings.metrics.enabled:
        environment.append(env_var("ALPHASWARM_METRICS_PORT", METRICS_PORT))
    if settings.tracing:
        environment += [
            env_var("OTEL_EXPORTER_OTLP_ENDPOINT", settings.tracing.endpoint),
            env_var("OTEL_SERVICE_NAME", instance),
            env_var("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            env_var("OTEL_TRACES_SAMPLER_ARG", f"{settings.tracing.sample_ratio:g}"),
        ]
    return environment + [env_var(name, folder) for name, folder in CACHES.items()]


def _worker_environment(workload: Workload, options: WorkerOptions) -> Iterator[Manifest]:
    """Yield the stack's tuning, in seconds; the runtime prefers it to the image's own copy of the catalogue."""
    yield env_var("ALPHASWARM_QUEUES", ",".join(queue.name for queue in workload.queues))
    yield env_var("ALPHASWARM_CONCURRENCY", workload.concurrency)
    yield env_var("ALPHASWARM_TIME_LIMIT", int(workload.time_limit.total_seconds()))
    yield env_var("ALPHASWARM_GRACE_PERIOD", int(workload.grace_period.total_seconds()))
    yield env_var("ALPHASWARM_VISIBILITY_TIMEOUT", int(workload.visibility_timeout.total_seconds()))
    if workload.soft_shutdown is not None:
        yield env_var("ALPHASWARM_SOFT_SHUTDOWN", int(workload.soft_shutdown.total_seconds()))
    if options.max_tasks_per_child is not None:
        yield env_var("ALPHASWARM_MAX_TASKS_PER_CHILD", options.max_tasks_per_child)
    if options.max_memory_per_child is not None:
        yield env_var(
            "ALPHASWARM_MAX_MEMORY_PER_CHILD", mebibytes(options.max_memory_per_child) * 1024
        )  # KiB, as Celery
    yield from _thread_environment(threads(workload.image.limits, options, workload.concurrency))


def _thread_environment(count: int) -> Iterator[Manifest]:
    return (env_var(name, value) for name, value in thread_variables(count).items())
