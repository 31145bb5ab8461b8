"""The catalogue as one stack tunes it: the stack's numbers override those of queues.py, and the result is checked."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from config.pods import PodOptions, Pods, WorkerOptions, merged
from config.schema import Gpu, QueueTuning, SessionTuning, Settings
from queues import QUEUES, WORKER, AlwaysOn, Catalogue, Image, Queue, Resources, Rollouts, Sessions

BEAT_REQUESTS = Resources(cpu="100m", memory="256Mi")  # it only sends messages
BEAT_LIMITS = Resources(cpu="500m", memory="512Mi")


def tuned_catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue with the stack's `scaling`, `gpu` and `environment` applied.

    Raises:
        CatalogueError: a queue's numbers break a constraint, which those of loaded settings never do.
    """
    return replace(
        QUEUES,
        queues=tuple(
            tuned_queue(queue, settings.scaling.get(queue.name), settings.gpu, settings.environment)
            for queue in QUEUES.queues
        ),
    )


def tuned_queue(queue: Queue, tuning: QueueTuning | None, gpu: Gpu | None, environment: str) -> Queue:
    """Return `queue` with `tuning` applied.

    Raises:
        CatalogueError: the result breaks a constraint.
    """
    tuning = tuning or QueueTuning.model_validate({})
    min_replicas = queue.min_replicas
    if queue.always_on is AlwaysOn.PRODUCTION and environment == "prod":
        min_replicas = max(min_replicas, 1)
    min_replicas = min_replicas if tuning.min_replicas is None else tuning.min_replicas
    return replace(
        queue,
        gpus=queue.gpus if gpu else 0,
        replicas=(min_replicas, tuned_max_pods(queue, tuning, gpu)),
        concurrency=queue.concurrency if tuning.concurrency is None else tuning.concurrency,
        polling_interval=_duration(tuning.polling_interval, queue.polling_interval),
        cooldown_period=_duration(tuning.cooldown_period, queue.cooldown_period),
        time_limit=_duration(tuning.time_limit, queue.time_limit) or queue.time_limit,
        grace_period=_duration(tuning.grace_period, queue.grace_period) or queue.grace_period,
        visibility_timeout=_duration(tuning.visibility_timeout, queue.visibility_timeout) or queue.visibility_timeout,
        soft_shutdown=_duration(tuning.soft_shutdown, queue.soft_shutdown),
        sessions=queue.sessions if tuning.sessions is None else _sessions(tuning.sessions),
        target_wait=_duration(tuning.target_wait, queue.target_wait),
    )


def _sessions(tuning: SessionTuning) -> Sessions:
    return Sessions(
        calendar=tuning.calendar,
        min_replicas=tuning.min_replicas,
        before=timedelta(seconds=tuning.before),
        after=timedelta(seconds=tuning.after),
        rollouts=Rollouts(tuning.rollouts),
    )


def worker_options(settings: Settings, image: Image, queues: Sequence[Queue]) -> WorkerOptions:
    """Return what the stack says of the workers of an image that drain `queues`."""
    return queue_options(settings.pods, image, [queue.name for queue in queues])


def queue_options(pods: Pods, image: Image, queues: Iterable[str]) -> WorkerOptions:
    """Return what `pods` say of the workers of an image that drain the queues of these names."""
    return merged(pods.all, image_options(pods, image), *(pods.queues[name] for name in queues if name in pods.queues))


def image_options(pods: Pods, image: Image) -> WorkerOptions:
    """Return what `pods` say of an image's workers alone."""
    return pods.worker if image is WORKER else pods.executor


def beat_options(settings: Settings) -> PodOptions:
    """Return what the stack says of beat."""
    return merged(settings.pods.all, settings.pods.beat)


def tuned_max_pods(queue: Queue, tuning: QueueTuning | None, gpu: Gpu | None) -> int:
    """Return the most pods of a queue with `tuning` applied."""
    return max_pods(queue, gpu) if tuning is None or tuning.max_replicas is None else tuning.max_replicas


def max_pods(queue: Queue, gpu: Gpu | None) -> int:
    """Return the most pods of a queue in the catalogue; for a queue with GPUs, as many as the stack's GPUs allow."""
    return max(gpu.count // queue.gpus, 1) if gpu and queue.gpus else queue.max_replicas


def _duration(override: int | None, default: timedelta | None) -> timedelta | None:
    return default if override is None else timedelta(seconds=override)
