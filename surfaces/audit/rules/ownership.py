"""Rules on who drains a queue: two images, nobody, or somebody although nothing is sent."""

from collections.abc import Iterator

from surfaces.audit.model import Drain, Severity
from surfaces.audit.rules.context import CONTAINERS, Context, may_meet, same_images
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.rules.words import several, told_drain, told_route


def _two_images(context: Context) -> Iterator[Found]:
    for surface, every in context.by_surface.items():
        if surface.kind not in CONTAINERS | {"dockerfile"}:
            continue
        # Of two Dockerfiles without -Q, both may be built and one of them run.
        drains = [drain for drain in every if drain.explicit or surface.kind in CONTAINERS]
        groups = same_images(list({id(drain.unit): drain.unit for drain in drains}.values()))
        if len(groups) < 2:
            continue
        numbers = {id(unit): number for number, group in enumerate(groups) for unit in group}
        takers: dict[str, dict[int, list[Drain]]] = {}
        for drain in drains:
            for queue in context.queues(drain):
                takers.setdefault(queue, {}).setdefault(numbers[id(drain.unit)], []).append(drain)
        for queue, parted in sorted(takers.items()):
            if pair := _pair(list(parted.values()), queue):
                yield _found_twice(context, queue, pair, surface.name)


def _pair(parted: list[list[Drain]], queue: str) -> tuple[Drain, Drain] | None:
    """Return two workers of two images that run at once."""
    for index, part in enumerate(parted):
        for other in parted[index + 1 :]:
            for one in part:
                for two in other:
                    if may_meet(one, two, queue):
                        first, second = sorted((one, two), key=lambda drain: drain.location)
                        return first, second
    return None


def _found_twice(context: Context, queue: str, pair: tuple[Drain, Drain], surface: str) -> Found:
    one, other = pair
    images = several({one.image, other.image})
    return Found(
        message=f"queue {queue!r} is drained by two images on {surface}: {images}",
        location=other.location,
        evidence=(told_drain(one, context), told_drain(other, context)),
        queue=queue,
        certain=one.certain and other.certain,
        related=(one.location,),
    )


def _not_drained(context: Context) -> Iterator[Found]:
    if not context.drains or context.some_open:
        return
    for queue, routes in sorted(context.routed.items()):
        sure = [route for route in routes if route.certain]
        if queue in context.drained or not sure:
            continue
        who = several(context.drained)
        yield Found(
            message=f"queue {queue!r} gets tasks and no worker drains it",
            location=sure[0].location,
            evidence=(
                *map(told_route, sure[:3]),
                f"the {len(context.drains)} workers that were found drain {who}",
                *(told_drain(drain, context) for drain in context.drains[:3]),
            ),
            queue=queue,
            related=tuple(route.location for route in sure[1:4]),
        )


def _not_routed(context: Context) -> Iterator[Found]:
    code = context.facts.code
    if not code.has_app or code.opaque or not (code.routes or code.tasks):
        return
    custom = {declared.queue for declared in code.declared if declared.custom}
    for queue, drains in sorted(context.drained.items()):
        named = [drain for drain in drains if queue in drain.explicit and drain in context.deployed]
        known = queue in context.routed or queue in context.default_queues or queue in custom
        if not named or known or not context.default_queues or queue in code.strings:
            continue
        if any(drain.invocation.app == "airflow" for drain in named):  # its operators name queues, not Celery's code
            continue
        yield Found(
            message=f"queue {queue!r} is drained and nothing is sent to it",
            location=named[0].location,
            evidence=(
                told_drain(named[0], context),
                f"the code sends to {several({*context.routed, *context.default_queues})}, and to no computed name",
            ),
            queue=queue,
            certain=named[0].certain,
            related=tuple(drain.location for drain in named[1:4]),
        )


RULES = (
    Rule(
        "queue-drained-by-two-images",
        Severity.ERROR,
        "One surface runs workers of two images on one queue.",
        "A task lands on either image by chance: it fails on the one without its packages, or starves the slim one.",
        "Take the queue from one of the two command lines.",
        _two_images,
    ),
    Rule(
        "queue-not-drained",
        Severity.ERROR,
        "The code sends tasks to a queue that no worker drains.",
        "Its tasks wait for ever, the broker's memory grows, and no error says so.",
        "Add the queue to a worker's -Q, or correct its name where it is sent to.",
        _not_drained,
    ),
    Rule(
        "queue-not-routed",
        Severity.WARNING,
        "A worker drains a queue that nothing sends to.",
        "Either the worker idles, or the name is misspelt here or where tasks are sent.",
        "Remove the queue from -Q, or route tasks to it.",
        _not_routed,
    ),
)
