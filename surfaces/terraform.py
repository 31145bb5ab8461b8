"""deploy/terraform/*.auto.tfvars.json: the catalogue as variables of the module there, for those who stay with it.

Terraform reads files of these names by itself. JSON has no comments, so a file cannot say what it is generated from.
The module puts each queue's own numbers into the profile of its image; what both have is rendered as for Kubernetes.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from config.quantities import milli_cpu
from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests import Manifest
from manifests.deployment import worker_deployment
from manifests.metadata import INSTANCE, object_meta, priority_class_name
from manifests.pod import NEVER_EVICT
from manifests.process_environment import THREAD_VARIABLES
from manifests.scaling import behavior, scaled_object
from manifests.workload import queue_workload
from queues import HEAVY_QUEUES, IMAGES, Image, Queue, ScaleDown
from surfaces.base_settings import BARE_IMAGES, base_settings

OF_THE_QUEUE: Final = ("containers", "priorityClassName", "terminationGracePeriodSeconds", "topologySpreadConstraints")
FIRST_OF_THE_QUEUE: Final = "ALPHASWARM_QUEUES"
QUEUE_LABEL: Final = "alphaswarm.io/queue"


def tfvars() -> dict[str, str]:
    """Return the files' text by name."""
    settings = base_settings("per-queue")
    rows = tuned_catalogue(settings)
    fleet = {
        "labels": object_meta(settings, "any")["labels"],
        "namespace": settings.namespace,
        "profiles": {image.target: _profile(settings, image, rows.of(image)[0]) for image in IMAGES},
        "queues": {queue.name: _row(settings, queue) for queue in rows.queues},
        "scaling": {rule.value: behavior(rule) for rule in ScaleDown},
        "spared": dict(NEVER_EVICT),
    }
    return {
        "heavy_queues.auto.tfvars.json": _dump({"heavy_queues": sorted(HEAVY_QUEUES)}),
        "fleet.auto.tfvars.json": _dump(fleet),
    }


def _profile(settings: Settings, image: Image, queue: Queue) -> dict[str, Any]:
    """Return what the pods of all queues of an image have in common, from those of one of them."""
    deployment = worker_deployment(settings, queue_workload(queue), BARE_IMAGES)
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    return {
        "container": _without(container, "env", "image"),
        "env": container["env"][: names.index(FIRST_OF_THE_QUEUE)],
        "image": image.name,
        "labels": _without(template["metadata"]["labels"], INSTANCE, QUEUE_LABEL),
        "pod": _without(template["spec"], *OF_THE_QUEUE),
        "processors": milli_cpu(image.limits.cpu) // 1000,
        "threads": list(THREAD_VARIABLES),
    }


def _row(settings: Settings, queue: Queue) -> dict[str, Any]:
    """Return a queue's own numbers: seconds, pods, tasks at once."""
    scaled = scaled_object(settings, queue)["spec"]
    return {
        "name": queue.deployment.removeprefix(f"{queue.image.name}-"),
        "concurrency": queue.concurrency,
        "max_replicas": queue.max_replicas,
        "min_replicas": queue.min_replicas,
        "time_limit": _seconds(queue.time_limit),
        "grace_period": _seconds(queue.grace_period),
        "visibility_timeout": _seconds(queue.visibility_timeout),
        "soft_shutdown": _seconds(queue.soft_shutdown),
        "polling_interval": scaled.get("pollingInterval"),
        "cooldown_period": scaled.get("cooldownPeriod"),
        "priority_class": priority_class_name(settings, queue.priority),
        "scale_down": queue.scale_down.value,
        "spared": queue_workload(queue).spared(None),
        "formula": scaled["advanced"]["scalingModifiers"]["formula"],
        "triggers": scaled["triggers"],
    }


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())


def _without(manifest: Mapping[str, Any], *keys: str) -> Manifest:
    return {key: value for key, value in manifest.items() if key not in keys}


def _dump(variables: Mapping[str, Any]) -> str:
    return json.dumps(variables, indent=2) + "\n"
