"""All objects of a stack, in the order in which they can be created."""

from config.schema import InClusterBroker, Settings
from config.tuning import tuned_catalogue
from manifests import ImageReferences, Manifest
from manifests.broker import redis_deployment, redis_service, trigger_authentication
from manifests.deployment import beat_deployment, worker_deployment
from manifests.foundation import namespace, network_policies, priority_classes, resource_quota, service_account
from manifests.scaling import horizontal_pod_autoscaler, pod_disruption_budget, scaled_object
from manifests.workload import of_image, of_queue
from queues import IMAGES, Image, Queue


def foundation(settings: Settings) -> list[Manifest]:
    """What both layouts stand on, without the roles that only AWS knows."""
    return [
        namespace(settings),
        *(service_account(settings, image) for image in IMAGES),
        *priority_classes(settings),
        *network_policies(settings),
        resource_quota(settings),
    ]


def broker(settings: Settings) -> list[Manifest]:
    """The in-cluster broker, where the stack has one; its Secret is left out, since it holds the password."""
    if not isinstance(settings.broker, InClusterBroker):
        return []
    return [redis_service(settings), redis_deployment(settings, settings.broker)]


def image_objects(settings: Settings, image: Image, images: ImageReferences) -> list[Manifest]:
    """One image's part of the `per-image` layout."""
    workload = of_image(settings, image)
    return [
        worker_deployment(settings, workload, images),
        horizontal_pod_autoscaler(settings, workload),
        pod_disruption_budget(settings, workload),
    ]


def queue_objects(settings: Settings, queue: Queue, images: ImageReferences) -> list[Manifest]:
    """One queue's part of the `per-queue` layout."""
    workload = of_queue(queue)
    return [
        worker_deployment(settings, workload, images),
        pod_disruption_budget(settings, workload),
        scaled_object(settings, queue),
    ]


def workloads(settings: Settings, images: ImageReferences) -> list[Manifest]:
    """The workers in the stack's layout."""
    if settings.layout == "per-image":
        return [found for image in IMAGES for found in image_objects(settings, image, images)]
    rows = [found for queue in tuned_catalogue(settings).queues for found in queue_objects(settings, queue, images)]
    return [trigger_authentication(settings), *rows]


def everything(settings: Settings, images: ImageReferences) -> list[Manifest]:
    """All objects of the stack but Secrets."""
    return [
        *foundation(settings),
        *broker(settings),
        beat_deployment(settings, images),
        *workloads(settings, images),
    ]
