"""Names and labels: what an object belongs to, and who pays for it.

Selectors use a pod's `instance` alone, so that no other label, once changed, forces a Deployment to be replaced.
"""

from collections.abc import Mapping

from config.schema import Settings
from queues import Image, Priority

PART_OF = "alphaswarm"
BEAT = "alphaswarm-beat"
BROKER = "alphaswarm-broker"  # Secret and TriggerAuthentication
REDIS = "redis"  # the in-cluster broker's Service and Deployment
METRICS_PORT = 9100

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
QUEUE = "alphaswarm.io/queue"
IMAGE = "alphaswarm.io/image"

Labels = dict[str, str]


def priority_class_name(settings: Settings, priority: Priority) -> str:
    """Return the name of a PriorityClass; it includes the namespace because the object is cluster-scoped."""
    return f"{settings.namespace}-{priority.name.lower()}"


def finops_labels(settings: Settings) -> Labels:
    """Return the labels that every object has for cost allocation."""
    labels = settings.labels
    return {
        "project": labels.project,
        "cost_center": labels.cost_center,
        "owner": labels.owner,
        "data_classification": labels.data_classification,
    }


def common_labels(settings: Settings) -> Labels:
    """Return the labels that every object of the fleet has."""
    return {
        "app.kubernetes.io/part-of": PART_OF,
        "alphaswarm.io/environment": settings.environment,
        **finops_labels(settings),
    }


def pod_labels(settings: Settings, instance: str, component: str, image: Image, queue: str | None = None) -> Labels:
    """Return the labels of a pod and its controller."""
    return {
        **common_labels(settings),
        "app.kubernetes.io/name": image.name,
        INSTANCE: instance,
        COMPONENT: component,
        IMAGE: image.target,
        **({QUEUE: queue} if queue else {}),
    }


def label_selector(instance: str) -> Mapping[str, Labels]:
    """Return a selector of exactly one controller's pods."""
    return {"matchLabels": {INSTANCE: instance}}


def object_meta(settings: Settings, name: str, labels: Labels | None = None) -> dict[str, object]:
    """Return the metadata of an object in the fleet's namespace."""
    return {"name": name, "namespace": settings.namespace, "labels": labels or common_labels(settings)}
