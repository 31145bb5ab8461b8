"""The catalogue as one stack tunes it: its own numbers over those of queues.py, which still have to work together."""

from dataclasses import replace
from datetime import timedelta

from config.schema import Gpu, QueueTuning, Settings
from queues import QUEUES, AlwaysOn, Catalogue, Queue


def tuned_catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue with the stack's `scaling`, `gpu` and `environment` applied.

    Raises:
        CatalogueError: a queue's numbers do not work together. Settings that were loaded have none of these.
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
        CatalogueError: the result cannot work.
    """
    tuning = tuning or QueueTuning.model_validate({})
    least, most = queue.min_replicas, max_pods(queue, gpu)
    if queue.always_on is AlwaysOn.PRODUCTION and environment == "prod":
        least = max(least, 1)
    least = least if tuning.min_replicas is None else tuning.min_replicas
    most = most if tuning.max_replicas is None else tuning.max_replicas
    return replace(
        queue,
        gpus=queue.gpus if gpu else 0,
        replicas=(least, most),
        concurrency=queue.concurrency if tuning.concurrency is None else tuning.concurrency,
        polling_interval=_seconds(tuning.polling_interval, queue.polling_interval),
        cooldown_period=_seconds(tuning.cooldown_period, queue.cooldown_period),
        time_limit=_seconds(tuning.time_limit, queue.time_limit) or queue.time_limit,
        grace_period=_seconds(tuning.grace_period, queue.grace_period) or queue.grace_period,
        visibility_timeout=_seconds(tuning.visibility_timeout, queue.visibility_timeout) or queue.visibility_timeout,
        soft_shutdown=_seconds(tuning.soft_shutdown, queue.soft_shutdown),
    )


def max_pods(queue: Queue, gpu: Gpu | None) -> int:
    """Return the catalogue's most pods of a queue; where it wants GPUs, as many as there are to have."""
    return max(gpu.count // queue.gpus, 1) if gpu and queue.gpus else queue.max_replicas


def _seconds(given: int | None, otherwise: timedelta | None) -> timedelta | None:
    return otherwise if given is None else timedelta(seconds=given)
