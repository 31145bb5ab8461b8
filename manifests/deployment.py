"""The Deployments. None sets `spec.replicas` where an autoscaler owns the number: each update would fight it."""

from config.schema import Settings
from manifests import ImageReferences, Manifest
from manifests.metadata import BEAT, namespaced, pod_labels, selector
from manifests.pod import beat_pod, worker_pod
from manifests.workload import Workload
from queues import WORKER

REVISIONS_KEPT = 3
ROLLOUT_SECONDS = 600  # Kubernetes' own default, and the provider's


def worker_deployment(settings: Settings, workload: Workload, images: ImageReferences) -> Manifest:
    """The Deployment that drains a workload's queues."""
    queue = workload.only_queue.name if workload.only_queue else None
    patience = {"progressDeadlineSeconds": rollout_seconds(workload)} if workload.gpus else {}
    labels = pod_labels(settings, workload.name, "worker", workload.image, queue)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": namespaced(settings, workload.name, labels),
        "spec": {
            "revisionHistoryLimit": REVISIONS_KEPT,
            **patience,
            "selector": selector(workload.name),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(workload)},
            "template": worker_pod(settings, workload, images, labels),
        },
    }


def _rolling_update(workload: Workload) -> Manifest:
    if workload.gpus:  # there may be no spare GPU for a second pod
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": "25%", "maxUnavailable": 0}


def rollout_seconds(workload: Workload) -> int:
    """How long a rollout may take where a new pod needs the GPU that the old one holds until its grace is over."""
    return int(workload.grace_period.total_seconds()) + ROLLOUT_SECONDS


def beat_deployment(settings: Settings, images: ImageReferences) -> Manifest:
    """The scheduler: exactly one, and the old one is gone before the new one starts, or jobs are sent twice."""
    labels = pod_labels(settings, BEAT, "beat", WORKER)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": namespaced(settings, BEAT, labels),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": REVISIONS_KEPT,
            "selector": selector(BEAT),
            "strategy": {"type": "Recreate"},
            "template": beat_pod(settings, WORKER, images, labels, BEAT),
        },
    }
