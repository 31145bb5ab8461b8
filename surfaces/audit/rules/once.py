"""Rules on what must be there once, or is there in vain: schedulers and priorities."""

from collections.abc import Iterator
from itertools import combinations

from surfaces.audit.model import Beat, Severity
from surfaces.audit.rules.context import CONTAINERS, MACHINES, Context
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.rules.scaling import STEP, queue_of
from surfaces.audit.rules.words import several


def _beats(context: Context) -> list[Beat]:
    """Return the schedulers that surely run, but for RedBeat's, which take turns by a lock."""
    return [
        beat
        for beat in context.facts.beats
        if beat.unit.surface.kind in CONTAINERS | MACHINES
        and not beat.unit.surface.aside
        and not beat.invocation.maybe
        and "redbeat" not in (beat.invocation.scheduler or "").lower()
        and beat.unit.replicas > 0
    ]


def _twice(context: Context) -> Iterator[Found]:
    beats = _beats(context)
    told: set[int] = set()
    for one, other in combinations(beats, 2):
        if id(other) not in told and one.unit.surface == other.unit.surface and _meet(one, other):
            told.update((id(one), id(other)))
            yield Found(
                message=f"{one.unit.name} and {other.unit.name} both run a scheduler on {one.unit.surface.name}",
                location=other.location,
                evidence=(_told(one), _told(other)),
                certain=one.invocation.certain and other.invocation.certain,
                related=(one.location,),
            )
    for beat in beats:
        if id(beat) not in told and (times := _times(context, beat)):
            yield Found(
                message=f"{beat.unit.name} runs a scheduler, and {times}",
                location=beat.location,
                evidence=(_told(beat), times),
                certain=beat.invocation.certain,
            )


def _meet(one: Beat, other: Beat) -> bool:
    apps = [beat.invocation.app for beat in (one, other)]
    if all(apps) and apps[0] != apps[1]:
        return False
    first, second = one.unit, other.unit
    if first.profiles and second.profiles and not first.profiles & second.profiles:
        return False
    return not (first.namespace and second.namespace and first.namespace != second.namespace)


def _times(context: Context, beat: Beat) -> str | None:
    """Return how a scheduler's unit comes to run more than once."""
    if beat.unit.replicas > 1:
        return f"there are {beat.unit.replicas} of it"
    for scaler in context.facts.scalers:
        ours = scaler.surface == beat.unit.surface and scaler.target == beat.unit.name.partition("/")[0]
        if ours and scaler.maximum is not None and scaler.maximum > 1:
            return f"{scaler.name} ({scaler.location}) scales it up to {scaler.maximum}"
    return None


def _told(beat: Beat) -> str:
    how = "a worker with -B" if beat.invocation.embedded_beat else "beat"
    return f"{beat.location}: {beat.unit.surface.kind} {beat.unit.name} runs {how}"


def _unread(context: Context) -> Iterator[Found]:
    yield from _without_support(context)
    yield from _unscaled(context)


def _without_support(context: Context) -> Iterator[Found]:
    code = context.facts.code
    if context.broker == "redis":
        for declared in code.declared:
            if declared.max_priority:
                yield Found(
                    message=f"x-max-priority of queue {declared.queue!r} is RabbitMQ's, and the broker is Redis",
                    location=declared.location,
                    evidence=(f"{declared.location}: Queue({declared.queue!r}) with a maximum priority",),
                    queue=declared.queue,
                )
        return
    if context.broker == "amqp":
        everywhere = any(setting.name == "task_queue_max_priority" for setting in code.settings)
        with_priority = {declared.queue for declared in code.declared if declared.max_priority}
        some = everywhere or any(opaque.source == "task_queues" for opaque in code.opaque)
        for sent in code.priorities:
            if not some and not (sent.queue in with_priority or (sent.queue is None and with_priority)):
                where = f"queue {sent.queue!r}" if sent.queue else "any queue"
                yield Found(
                    message=f"a task is sent with priority {sent.priority}, without x-max-priority of {where}",
                    location=sent.location,
                    evidence=(f"{sent.location}: priority {sent.priority}", "the broker is RabbitMQ"),
                    queue=sent.queue,
                )


def _unscaled(context: Context) -> Iterator[Found]:
    """Yield lists of priorities that a ScaledObject does not count."""
    if context.broker == "amqp" or not context.facts.code.priorities:
        return
    for scaler in context.facts.scalers:
        if scaler.kind != "redis" or scaler.surface.aside or any(STEP.search(name) for name in scaler.lists):
            continue
        queues = {queue_of(name) for name in scaler.lists} & set(context.drained)
        sent = [each for each in context.facts.code.priorities if each.priority >= 3 and each.queue in {*queues, None}]
        if queues and sent:
            yield Found(
                message=f"{scaler.name} does not count tasks with a priority, which wait in lists of their own",
                location=scaler.location,
                evidence=(
                    f"{scaler.location}: counts {several(queues)} alone",
                    f"{sent[0].location}: priority {sent[0].priority}; kombu's list is the name, 0x06 0x16, the step",
                ),
                queue=min(queues),
                certain=sent[0].queue is not None,
                related=(sent[0].location,),
            )


RULES = (
    Rule(
        "priorities-unread",
        Severity.WARNING,
        "Tasks have priorities that nobody reads: the queue does not support them, or the scaler counts no such list.",
        "Urgent tasks wait in the order they came; or with Redis, in lists that no ScaledObject counts.",
        "Declare x-max-priority (RabbitMQ), count each step's list (KEDA on Redis), or send without priority.",
        _unread,
    ),
    Rule(
        "beat-twice",
        Severity.ERROR,
        "A surface runs more than one scheduler.",
        "Each scheduler sends every entry of the schedule: all periodic tasks run as often as there are schedulers.",
        "Run beat once, with one replica, and no worker with -B that may be scaled.",
        _twice,
    ),
)
