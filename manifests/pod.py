"""Pod templates: one hardened container, with a read-only root, that is configured by its environment.

Probes read files that the worker touches (7 ms); `celery inspect ping` costs 560 ms each time and fails when a worker
is merely busy. Service links are off: a Service named `redis` would put REDIS_… variables beside the credentials.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from config.schema import Settings
from manifests import ImageReferences, Manifest, beat_access
from manifests.broker import broker_environment
from manifests.metadata import INSTANCE, METRICS_PORT, Labels, priority_class_name
from manifests.workload import Workload
from queues import Image, Priority, Resources

PROBE_COMMAND = ("python", "-m", "alphaswarm_runtime", "probe")
TMP_SIZE = "2Gi"
DIRECTORY_SIZE = "20Gi"
BEAT_REQUESTS = Resources(cpu="100m", memory="256Mi")  # it only sends messages
BEAT_LIMITS = Resources(cpu="500m", memory="512Mi")
BEAT_GRACE_PERIOD = timedelta(seconds=30)

NEVER_EVICT = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def worker_pod_template(settings: Settings, workload: Workload, images: ImageReferences, labels: Labels) -> Manifest:
    """Return the pod template of a Celery worker."""
    annotations = dict(NEVER_EVICT) if workload.uninterruptible else {}
    container = _container(
        settings,
        workload.image,
        images,
        name="worker",
        args=["worker"],
        environment=[*_common_environment(settings, workload.name), *_worker_environment(workload)],
        resources=_worker_resources(settings, workload),
    )
    spec = _pod_spec(settings, workload.image, container, workload.priority, workload.grace_period, workload.name)
    if workload.gpus and settings.gpu:
        spec["nodeSelector"] = dict(settings.gpu.node_selector)
        spec["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True) for toleration in settings.gpu.tolerations
        ]
    return {"metadata": {"labels": labels, **({"annotations": annotations} if annotations else {})}, "spec": spec}


def beat_pod_template(settings: Settings, image: Image, images: ImageReferences, labels: Labels, name: str) -> Manifest:
    """Return the pod template of Celery beat; it alone may have access to the Kubernetes API."""
    container = _container(
        settings,
        image,
        images,
        name="beat",
        args=["beat"],
        environment=_common_environment(settings, name),
        resources={"requests": vars(BEAT_REQUESTS), "limits": vars(BEAT_LIMITS)},
    )
    spec = _pod_spec(settings, image, container, Priority.STANDARD, BEAT_GRACE_PERIOD, name)
    if settings.mark_busy_pods:
        container["env"].append(_env_var("ALPHASWARM_API_ACCESS", beat_access.DIRECTORY))
        container["volumeMounts"].append(
            {"name": beat_access.VOLUME, "mountPath": beat_access.DIRECTORY, "readOnly": True}
        )
        spec["volumes"].append(beat_access.access_volume())
    return {"metadata": {"labels": labels}, "spec": spec}


def _pod_spec(
    settings: Settings, image: Image, container: Manifest, priority: Priority, grace_period: timedelta, instance: str
) -> Manifest:
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
            _topology_spread_constraint(key, instance)
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {"sizeLimit": size}} for name, _, size in _writable_volumes(image)],
    }


def _topology_spread_constraint(topology_key: str, instance: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {INSTANCE: instance}},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _container(
    settings: Settings,
    image: Image,
    images: ImageReferences,
    *,
    name: str,
    args: list[str],
    environment: list[Manifest],
    resources: Mapping[str, Any],
) -> Manifest:
    container: Manifest = {
        "name": name,
        "image": images[image.name],
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "env": environment,
        "resources": {side: dict(amounts) for side, amounts in resources.items()},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, path, _ in _writable_volumes(image)],
        # Importing the application may take a minute on a cold node; until then liveness must not judge.
        "startupProbe": _probe("live", period=5, failures=60),
        "livenessProbe": _probe("live", period=15, failures=4),
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


def _writable_volumes(image: Image) -> Iterator[tuple[str, str, str]]:
    """Yield name, mount path and size limit of each volume."""
    yield "tmp", "/tmp", TMP_SIZE  # noqa: S108 the container's own
    for path in image.directories:
        yield path.rsplit("/", maxsplit=1)[-1], path, DIRECTORY_SIZE


def _worker_resources(settings: Settings, workload: Workload) -> Mapping[str, Mapping[str, str]]:
    image = workload.image
    gpus = {settings.gpu.resource: str(workload.gpus)} if workload.gpus and settings.gpu else {}
    return {"requests": {**vars(image.requests), **gpus}, "limits": {**vars(image.limits), **gpus}}


def _common_environment(settings: Settings, instance: str) -> list[Manifest]:
    environment = [
        _env_var("CELERY_APP", settings.celery_app),
        _env_var("ALPHASWARM_LOG_FORMAT", "json"),
        *broker_environment(settings),
    ]
    if settings.metrics.enabled:
        environment.append(_env_var("ALPHASWARM_METRICS_PORT", METRICS_PORT))
    if settings.tracing:
        environment += [
            _env_var("OTEL_EXPORTER_OTLP_ENDPOINT", settings.tracing.endpoint),
            _env_var("OTEL_SERVICE_NAME", instance),
            _env_var("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            _env_var("OTEL_TRACES_SAMPLER_ARG", f"{settings.tracing.sample_ratio:g}"),
        ]
    return environment


def _worker_environment(workload: Workload) -> Iterator[Manifest]:
    """Yield the stack's tuning, in seconds; the runtime prefers it to the image's own copy of the catalogue."""
    yield _env_var("ALPHASWARM_QUEUES", ",".join(queue.name for queue in workload.queues))
    yield _env_var("ALPHASWARM_CONCURRENCY", workload.concurrency)
    yield _env_var("ALPHASWARM_TIME_LIMIT", int(workload.time_limit.total_seconds()))
    yield _env_var("ALPHASWARM_GRACE_PERIOD", int(workload.grace_period.total_seconds()))
    yield _env_var("ALPHASWARM_VISIBILITY_TIMEOUT", int(workload.visibility_timeout.total_seconds()))
    if workload.soft_shutdown is not None:
        yield _env_var("ALPHASWARM_SOFT_SHUTDOWN", int(workload.soft_shutdown.total_seconds()))


def _env_var(name: str, value: object) -> Manifest:
    return {"name": name, "value": str(value)}
