"""deploy/topology/: what runs where, one file a stack, for a platform's service map.

The entries are services as somebody else sees them: their role, their image, where they are, and whom they talk to.
A deployment in the layout `per-queue` is an entry of its own, since it scales and fails of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.broker import InClusterBroker
from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests.broker import host_and_port
from manifests.metadata import BEAT, METRICS_PORT, REDIS
from manifests.workload import image_workload, queue_workload
from queues import IMAGES, WORKER
from surfaces.yaml_text import dump_block

Entry = dict[str, Any]

HEADER: Final = "# Generated from queues.py and Pulumi.{stack}.yaml by `make surfaces`; do not edit.\n"


def topologies(stacks: Mapping[str, Settings]) -> dict[str, str]:
    """Return the files' text by name."""
    return {
        f"{stack}.yaml": HEADER.format(stack=stack) + dump_block({"stack": stack, "entries": list(_entries(settings))})
        for stack, settings in stacks.items()
    }


def _entries(settings: Settings) -> Iterator[Entry]:
    if settings.layout == "per-queue":
        workloads = [queue_workload(queue) for queue in tuned_catalogue(settings).queues]
    else:
        workloads = [image_workload(settings, image) for image in IMAGES]
    for workload in workloads:
        queues = [queue.name for queue in workload.queues]
        image = workload.image
        yield {**_service(settings, workload.name, image.target, image.name), "queues": queues, **_reach(settings)}
    yield {**_service(settings, BEAT, "beat", WORKER.name), "queues": [], **_reach(settings)}
    yield _broker(settings)


def _service(settings: Settings, name: str, role: str, image: str) -> Entry:
    return {
        "id": name,
        "role": role,
        "image": image,
        "cluster": settings.cluster.context or "ambient",
        "namespace": settings.namespace,
    }


def _reach(settings: Settings) -> Entry:
    """Return the protocols that a worker speaks, and where it listens; a worker is only asked for its metrics."""
    metrics = settings.metrics.enabled
    return {
        "protocols": [_broker_protocol(settings), *(["http"] if metrics else [])],
        "endpoints": [f"http://:{METRICS_PORT}/metrics"] if metrics else [],
        "talks_to": [REDIS],
    }


def _broker(settings: Settings) -> Entry:
    broker = settings.broker
    host, port = host_and_port(settings)
    inside = isinstance(broker, InClusterBroker)
    return {
        **_service(settings, REDIS, "broker", broker.image if isinstance(broker, InClusterBroker) else "external"),
        **({} if inside else {"cluster": "external", "namespace": "external"}),
        "queues": [],
        "protocols": [_broker_protocol(settings)],
        "endpoints": [f"{_broker_protocol(settings)}://{host}:{port}/{broker.database}"],
        "talks_to": [],
    }


def _broker_protocol(settings: Settings) -> str:
    return "rediss" if settings.broker.tls else "redis"
