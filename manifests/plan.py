"""The one plan of a stack: which Kubernetes objects it has, in units, and what each of them depends on.

The components register the plan, and the Kustomize tree is written from it, so both have the same objects. A new kind
of object is one function that returns it and one line here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.broker import InClusterBroker
from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests import ImageReferences, Manifest
from manifests.beat_access import beat_access
from manifests.broker import broker_secret, external_secret, redis_deployment, redis_service, trigger_authentication
from manifests.deployment import beat_deployment, worker_deployment
from manifests.foundation import namespace, network_policies, priority_classes, resource_quota, service_account
from manifests.scaling import horizontal_pod_autoscaler, pod_disruption_budget, scaled_object
from manifests.workload import image_workload, queue_workload
from queues import IMAGES, Image, Priority, Queue, Rollouts, Sessions

FLEET = "alphaswarm"


class UnitKind(StrEnum):
    """What a unit is for; the value is the last part of its component's type."""

    FOUNDATION = "Foundation"
    BROKER = "Broker"
    BEAT = "Beat"
    QUEUE_WORKER = "QueueWorker"
    IMAGE_WORKER = "ImageWorker"


@dataclass(frozen=True)
class PlannedObject:
    """One Kubernetes object, and how it is registered.

    `name` is its resource name in Pulumi's state; another one would replace the object. `depends_on` are kinds of the
    same unit. A `secret` object is registered and never written to a file. During `sessions` an update refuses to
    change the object's pods.
    """

    name: str
    manifest: Manifest
    depends_on: tuple[str, ...] = ()
    protect: bool = False
    alias_parent: str | None = None  # the component that had it until it was moved; an alias keeps the object
    sessions: Sessions | None = None
    ignore_changes: tuple[str, ...] = ()  # fields that are set when the object is made, and left alone after that

    @property
    def secret(self) -> bool:
        """Whether what it holds must stay out of files and plain state."""
        return bool(self.manifest["kind"] == "Secret")


@dataclass(frozen=True)
class Unit:
    """Objects that belong together. `depends_on` are other units' names."""

    kind: UnitKind
    name: str
    objects: tuple[PlannedObject, ...]
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanInputs:
    """What the plan cannot know from settings: outputs of resources, secrets; or plain text where a file is written."""

    images: ImageReferences
    broker_password: Any = None


def plan(settings: Settings, inputs: PlanInputs, fleet: str = FLEET) -> tuple[Unit, ...]:
    """Return all units of the stack, each after those that it depends on."""
    foundation, broker = _foundation(settings, fleet), _broker(settings, inputs, fleet)
    dependencies = (foundation.name, broker.name)
    return (foundation, broker, _beat(settings, inputs, fleet, dependencies), *_workers(settings, inputs, dependencies))


def manifests_for_files(units: Iterable[Unit]) -> list[Manifest]:
    """Return the manifests that may be written to a file: all but Secrets, in the plan's order.

    A file is applied again and again, so it has no field that is set only when the object is made.
    """
    return [_applicable(planned) for unit in units for planned in unit.objects if not planned.secret]


def _applicable(planned: PlannedObject) -> Manifest:
    manifest = planned.manifest
    for path in planned.ignore_changes:
        manifest = _without(manifest, path.split("."))
    return manifest


def _without(manifest: Manifest, keys: Sequence[str]) -> Manifest:
    first, *rest = keys
    if not rest:
        return {key: value for key, value in manifest.items() if key != first}
    return {**manifest, first: _without(manifest[first], rest)} if first in manifest else manifest


def _foundation(settings: Settings, fleet: str) -> Unit:
    """Return what every workload depends on."""
    in_namespace = ("Namespace",)
    priorities = zip(Priority, priority_classes(settings), strict=True)
    return Unit(
        UnitKind.FOUNDATION,
        fleet,
        (
            PlannedObject(f"{fleet}-namespace", namespace(settings), protect=settings.protect),
            *(PlannedObject(image.name, service_account(settings, image), in_namespace) for image in IMAGES),
            *(
                PlannedObject(f"{fleet}-{priority.name.lower()}-priority", manifest)
                for priority, manifest in priorities
            ),
            *(
                PlannedObject(f"{fleet}-{policy['metadata']['name']}", policy, in_namespace)
                for policy in network_policies(settings)
            ),
            PlannedObject(f"{fleet}-quota", resource_quota(settings), in_namespace),
        ),
    )


def _broker(settings: Settings, inputs: PlanInputs, fleet: str) -> Unit:
    """Return access to Redis for workers and scalers, and Redis itself for a stack without its own."""
    name, secret, broker = f"{fleet}-broker", ("Secret", "ExternalSecret"), settings.broker
    objects: list[PlannedObject] = []
    if broker.external_secret is not None:
        objects.append(PlannedObject(f"{name}-password", external_secret(settings, broker.external_secret)))
    elif broker.existing_secret is None and not broker.passwordless:
        objects.append(PlannedObject(f"{name}-password", broker_secret(settings, inputs.broker_password)))
    if isinstance(broker, InClusterBroker):
        objects.append(PlannedObject(f"{name}-service", redis_service(settings)))
        objects.append(PlannedObject(f"{name}-redis", redis_deployment(settings, broker), secret))
    if settings.layout == "per-queue" and (access := trigger_authentication(settings)) is not None:
        objects.append(PlannedObject(f"{name}-scaler-access", access, secret))
    return Unit(UnitKind.BROKER, name, tuple(objects), (fleet,))


def _beat(settings: Settings, inputs: PlanInputs, fleet: str, dependencies: tuple[str, ...]) -> Unit:
    name = f"{fleet}-beat"
    access = beat_access(settings) if settings.mark_busy_pods else []
    objects = (
        *(PlannedObject(name, manifest) for manifest in access),
        PlannedObject(name, beat_deployment(settings, inputs.images), tuple(manifest["kind"] for manifest in access)),
    )
    return Unit(UnitKind.BEAT, name, objects, dependencies)


def _workers(settings: Settings, inputs: PlanInputs, dependencies: tuple[str, ...]) -> list[Unit]:
    """Return the workers in the stack's layout: one a queue with KEDA's scaler, or one an image with an HPA."""
    if settings.layout == "per-image":
        return [_image_worker(settings, image, inputs, dependencies) for image in IMAGES]
    return [_queue_worker(settings, queue, inputs, dependencies) for queue in tuned_catalogue(settings).queues]


def _queue_worker(settings: Settings, queue: Queue, inputs: PlanInputs, dependencies: tuple[str, ...]) -> Unit:
    name, workload = queue.deployment, queue_workload(queue)
    sessions = queue.sessions if queue.sessions and queue.sessions.rollouts is not Rollouts.ANYTIME else None
    return Unit(
        UnitKind.QUEUE_WORKER,
        name,
        (
            PlannedObject(
                name,
                worker_deployment(settings, workload, inputs.images),
                sessions=sessions,
                ignore_changes=("spec.replicas",),
            ),
            PlannedObject(name, pod_disruption_budget(settings, workload)),
            # After its Deployment, whose number of pods KEDA adopts.
            PlannedObject(name, scaled_object(settings, queue), ("Deployment",), alias_parent="QueueScaler"),
        ),
        dependencies,
    )


def _image_worker(settings: Settings, image: Image, inputs: PlanInputs, dependencies: tuple[str, ...]) -> Unit:
    name, workload = image.name, image_workload(settings, image)
    return Unit(
        UnitKind.IMAGE_WORKER,
        name,
        (
            PlannedObject(name, worker_deployment(settings, workload, inputs.images)),
            PlannedObject(name, horizontal_pod_autoscaler(settings, workload), ("Deployment",)),
            PlannedObject(name, pod_disruption_budget(settings, workload)),
        ),
        dependencies,
    )
