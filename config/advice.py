"""What a stack's settings allow and its owner may not have meant: warnings of a preview and an update.

Each is about work that could be lost or would never be done. What cannot work at all is an error instead (rules.py).
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from config.calendars import exchange_calendar
from config.errors import comma_separated
from config.schema import BuildImages, Settings
from config.tuning import tuned_catalogue, worker_options
from config.volumes import ClaimVolume, is_for
from queues import EXECUTOR, Queue

SPOT_NOTICE: Final = 120  # seconds between AWS' notice and the end of a spot instance
CALENDAR_NOTICE: Final = timedelta(days=90)
CUDA: Final = "-cuda"  # in the name of an extra with torch for GPUs


def advice(settings: Settings) -> Iterator[str]:
    """Yield one sentence for each doubt, with the key that would end it."""
    queues = tuned_catalogue(settings).queues
    if resuming := [queue for queue in queues if queue.soft_shutdown and not _keeps(settings, queue)]:
        directories = comma_separated({path for queue in resuming for path in queue.image.directories})
        yield (
            f"A pod of {comma_separated(queue.name for queue in resuming)} that stops re-queues its tasks to go on "
            f"elsewhere, and what they left in {directories} is gone with it; a claim in fleet:volumes would keep it."
        )
    for queue in queues:
        grace = int(queue.grace_period.total_seconds())
        if worker_options(settings, queue.image, (queue,)).evictable and grace > SPOT_NOTICE:
            yield (
                f"Pods of {queue.name} are evictable and have {grace} s to stop; a spot instance ends {SPOT_NOTICE} s "
                f"after its notice, and a task that runs for longer begins anew (fleet:pods, evictable)."
            )
    yield from _unused_intervals(settings, queues)
    yield from _ending_calendars(queues)
    if settings.broker.result_url is not None and not settings.egress:
        yield (
            "The result backend is another server (fleet:broker.resultUrl), and the network policies let workers reach "
            "port 443 and the broker's alone: name its network and port in fleet:egress, unless it is one of these."
        )
    if isinstance(settings.images, BuildImages) and not has_cuda(settings.images):
        yield from unused_gpus(settings)


def _unused_intervals(settings: Settings, queues: Iterable[Queue]) -> Iterator[str]:
    """Yield what to say of intervals that a stack tunes and KEDA leaves alone."""
    for queue in queues:
        tuning = settings.scaling.get(queue.name)
        if tuning and queue.min_replicas > 0 and (tuning.polling_interval or tuning.cooldown_period):
            yield (
                f"{queue.name} always has a pod, so that its pollingInterval and cooldownPeriod change nothing "
                "(fleet:scaling): they are for the way to zero and back."
            )


def _ending_calendars(queues: Iterable[Queue]) -> Iterator[str]:
    """Yield what to say of calendars whose holidays are known for a short time alone."""
    soon = datetime.now(UTC).date() + CALENDAR_NOTICE
    for name in sorted({queue.sessions.calendar for queue in queues if queue.sessions}):
        if (until := exchange_calendar(name).until) < soon:
            yield (
                f"The holidays of {name} are known until {until} alone; after that its sessions are reckoned to be on "
                "every usual weekday. A newer release of this program knows more (fleet:scaling, sessions)."
            )


def unused_gpus(settings: Settings) -> Iterator[str]:
    """Yield what to say where queues get GPUs and the executor has no CUDA."""
    if settings.gpu:
        wanting = comma_separated(queue.name for queue in tuned_catalogue(settings).queues if queue.gpus)
        yield (
            f"{wanting} gets GPUs, and {EXECUTOR.name} is built with torch for processors only; an extra of the "
            "application with torch for CUDA, named in fleet:images.buildArgs.MORE_EXTRAS of the stack that builds, "
            "would use them."
        )


def _keeps(settings: Settings, queue: Queue) -> bool:
    """Return whether pods of the queue have a claim: behind one of the image's directories, or mounted elsewhere."""
    volumes = (settings.volumes.get(path) for path in queue.image.directories)
    if any(isinstance(volume, ClaimVolume) and is_for(volume, (queue.name,)) for volume in volumes):
        return True
    options = worker_options(settings, queue.image, (queue,))
    claims = {
        volume["name"]
        for volume in options.volumes
        if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("readOnly")
    }
    return any(mount["name"] in claims and not mount.get("readOnly") for mount in options.volume_mounts)


def has_cuda(images: BuildImages) -> bool:
    """Return whether the executor's torch is for GPUs; its label io.alphaswarm.cuda says the same."""
    return any(CUDA in extra for extra in images.all_extras(EXECUTOR))
