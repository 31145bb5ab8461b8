"""The Deployments. An autoscaler owns `spec.replicas`, and no update touches the number: each one would fight it.

Without one a new Deployment has a pod, before its scaler looks for the first time: for all queues at once, and on a GPU
for one that wants it. So a queue's own begins at its least. Its resource ignores changes of the field (plan.py), with
which an update sends what is there. An image's HPA has a pod at the least anyway.
"""

from config.schema import Settings
from manifests import ImageReferences, Manifest
from manifests.metadata import BEAT, label_selector, object_meta, pod_labels
from manifests.pod import beat_pod_template, worker_pod_template
from manifests.volumes import single_pod_claims
from manifests.workload import Workload
from queues import WORKER

REVISION_HISTORY_LIMIT = 3
DEFAULT_PROGRESS_DEADLINE_SECONDS = 600  # Kubernetes' own default, and the provider's


def worker_deployment(settings: Settings, workload: Workload, images: ImageReferences) -> Manifest:
    """Return the Deployment that drains a workload's queues."""
    queue = workload.only_queue.name if workload.only_queue else None
    rolling_update = _rolling_update(settings, workload)
    waits = rolling_update["maxSurge"] == 0
    deadline = {"progressDeadlineSeconds": progress_deadline_seconds(workload)} if waits else {}
    labels = pod_labels(settings, workload.name, "worker", workload.image, queue)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_meta(settings, workload.name, labels),
        "spec": {
            **({"replicas": workload.min_replicas} if workload.only_queue else {}),
            "revisionHistoryLimit": REVISION_HISTORY_LIMIT,
            **deadline,
            "selector": label_selector(workload.name),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update},
            "template": worker_pod_template(settings, workload, images, labels),
        },
    }


def _rolling_update(settings: Settings, workload: Workload) -> Manifest:
    exclusive = any(single_pod_claims(settings, workload.image, workload.queues))
    if workload.gpus or exclusive:  # a second pod would find no GPU, or its volume on another node
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": "25%", "maxUnavailable": 0}


def progress_deadline_seconds(workload: Workload) -> int:
    """Return how long a rollout may take where a new pod waits for what the old one has in its grace period."""
    return int(workload.grace_period.total_seconds()) + DEFAULT_PROGRESS_DEADLINE_SECONDS


def beat_deployment(settings: Settings, images: ImageReferences) -> Manifest:
    """Return Celery beat's Deployment: one pod, and never an old and a new one at once, or jobs are sent twice."""
    labels = pod_labels(settings, BEAT, "beat", WORKER)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_meta(settings, BEAT, labels),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": REVISION_HISTORY_LIMIT,
            "selector": label_selector(BEAT),
            "strategy": {"type": "Recreate"},
            "template": beat_pod_template(settings, WORKER, images, labels, BEAT),
        },
    }
