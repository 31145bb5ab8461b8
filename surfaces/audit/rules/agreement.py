"""Rules on surfaces that deploy the same queues: who drains them, and with which profile."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from surfaces.audit.model import Drain, Severity, Surface
from surfaces.audit.rules.context import CONTAINERS, MACHINES, Context, same_images
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.rules.words import duration, several, told_drain
from surfaces.audit.texts import environment_of


def _owners(context: Context, drains: list[Drain]) -> dict[str, tuple[int, Drain]]:
    """Return for each queue that one image alone drains the image's number, and a worker."""
    drains = [drain for drain in drains if drain.unit.images]
    groups = same_images(list({id(drain.unit): drain.unit for drain in drains}.values()))
    numbers = {id(unit): number for number, group in enumerate(groups) for unit in group}
    found: dict[str, tuple[int, Drain]] = {}
    twice = set()
    for drain in drains:
        number = numbers[id(drain.unit)]
        for queue in context.queues(drain) if drain.explicit else ():
            if found.setdefault(queue, (number, drain))[0] != number:
                twice.add(queue)
    return {queue: owner for queue, owner in found.items() if queue not in twice}


def _disagree(context: Context) -> Iterator[Found]:
    surfaces = [
        (surface, drains)
        for surface, drains in sorted(context.by_surface.items(), key=lambda item: item[0])
        if surface.kind in CONTAINERS | {"dockerfile"}
    ]
    owners = {surface: _owners(context, drains) for surface, drains in surfaces}
    for one, other in combinations(owners, 2):
        if found := _regrouped(context, one, other, owners[one], owners[other]):
            yield found
    yield from _missing(context)


def _regrouped(
    context: Context,
    one: Surface,
    other: Surface,
    here: dict[str, tuple[int, Drain]],
    there: dict[str, tuple[int, Drain]],
) -> Found | None:
    """Return that two surfaces divide their common queues among images differently."""
    for first, second in combinations(sorted(here.keys() & there.keys()), 2):
        together = here[first][0] == here[second][0]
        if together != (there[first][0] == there[second][0]):
            joint, apart = (one, other) if together else (other, one)
            message = f"{joint.name} has queues {first!r} and {second!r} on one image, {apart.name} on two"
            return _disagreement(context, message, second, here, there, first)
    for queue in sorted(here.keys() & there.keys()):
        mine, theirs = _names(here[queue][1]), _names(there[queue][1])
        all_mine = {name for _, drain in here.values() for name in _names(drain)}
        all_theirs = {name for _, drain in there.values() for name in _names(drain)}
        if mine and theirs and not mine & theirs and mine <= all_theirs and theirs <= all_mine:
            message = f"queue {queue!r} is on image {several(mine)} in {one.name}, on {several(theirs)} in {other.name}"
            return _disagreement(context, message, queue, here, there)
    return None


def _names(drain: Drain) -> set[str]:
    return {name.partition(":")[2] for name in drain.unit.images if name.startswith("image:")}


def _disagreement(
    context: Context,
    message: str,
    queue: str,
    here: dict[str, tuple[int, Drain]],
    there: dict[str, tuple[int, Drain]],
    also: str | None = None,
) -> Found:
    drains = [owners[name][1] for owners in (here, there) for name in (also, queue) if name is not None]
    return Found(
        message=message,
        location=drains[-1].location,
        evidence=tuple(dict.fromkeys(told_drain(drain, context) for drain in drains)),
        queue=queue,
        certain=all(drain.certain for drain in drains),
        related=(drains[0].location,),
    )


def _missing(context: Context) -> Iterator[Found]:
    """Yield queues that one surface drains, and another, which runs most of the same, does not."""
    whole = {
        surface: drains
        for surface, drains in context.by_surface.items()
        if surface.whole and all(drain.explicit and drain.certain for drain in drains)
    }
    queues = {surface: {q for drain in drains for q in drain.explicit} for surface, drains in whole.items()}
    maybe = {drain.surface for drain in context.drains if drain.invocation.maybe or context.is_open(drain)}
    for surface, own in queues.items():
        for other, theirs in queues.items():
            lacking = sorted(queue for queue in theirs - own if queue in context.routed)
            if not lacking or surface in maybe or not own & theirs or 2 * len(own) < len(theirs):
                continue
            there = next(drain for drain in whole[other] if lacking[0] in drain.explicit)
            yield Found(
                message=f"{other.name} drains {several(lacking)}, and {surface.name} does not",
                location=whole[surface][0].location,
                evidence=(told_drain(there, context), *(told_drain(drain, context) for drain in whole[surface][:3])),
                queue=lacking[0],
                related=(there.location,),
            )
            break


def _profiles(context: Context) -> Iterator[Found]:
    by_queues: dict[frozenset[str], list[Drain]] = {}
    for drain in context.deployed:
        if drain.explicit and drain.surface.kind in CONTAINERS | MACHINES and not context.is_open(drain):
            by_queues.setdefault(frozenset(drain.explicit), []).append(drain)
    for queues, drains in by_queues.items():
        for same in _comparable(drains).values():
            found = (_differing(context, queues, same[0], other) for other in same[1:])
            if first := next(filter(None, found), None):
                yield first


def _comparable(drains: list[Drain]) -> dict[str | None, list[Drain]]:
    """Return workers that have the same place, by environment: each the only one of its queues on its surface."""
    count = Counter(drain.surface for drain in drains)
    found: dict[str | None, list[Drain]] = {}
    for drain in drains:
        if count[drain.surface] == 1:
            found.setdefault(environment_of(drain.surface.name), []).append(drain)
    return found


def _differing(context: Context, queues: frozenset[str], one: Drain, other: Drain) -> Found | None:
    pairs = {
        "concurrency": (one.invocation.concurrency, other.invocation.concurrency),
        "hard time limit": (one.time_limit, other.time_limit),
        "grace period": (_grace(one), _grace(other)),
    }
    differences = [
        f"{name} {_shown(name, mine)} in {one.surface.name}, {_shown(name, theirs)} in {other.surface.name}"
        for name, (mine, theirs) in pairs.items()
        if mine is not None and theirs is not None and mine != theirs
    ]
    if not differences:
        return None
    return Found(
        message=f"workers of {several(queues)} differ: {'; '.join(differences)}",
        location=other.location,
        evidence=(told_drain(one, context), told_drain(other, context), *differences),
        queue=min(queues),
        certain=one.certain and other.certain,
        related=(one.location,),
    )


def _grace(drain: Drain) -> float | None:
    return None if drain.unit.grace_is_default else drain.unit.grace


def _shown(name: str, value: float | None) -> str:
    return f"{value:g}" if name == "concurrency" and value is not None else duration(value or 0)


RULES = (
    Rule(
        "surfaces-disagree",
        Severity.ERROR,
        "Two surfaces divide the same queues among images differently, or one of them lacks a queue.",
        "What was tried on one surface breaks on the other: tasks reach an image without their packages, or nobody.",
        "Make the surfaces agree; better, generate them from one list.",
        _disagree,
    ),
    Rule(
        "profiles-differ",
        Severity.WARNING,
        "Workers of the same queues have another concurrency, limit or grace period on another surface.",
        "Load and shutdown behave otherwise than where they were tried. Other environments are not compared.",
        "Give both the same numbers, or silence this with the reason for the difference.",
        _profiles,
    ),
)
