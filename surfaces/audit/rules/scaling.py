"""Rules on KEDA: what a ScaledObject counts."""

import re
from collections.abc import Iterator

from surfaces.audit.model import UNKNOWN, Scaler, Severity
from surfaces.audit.rules.context import Context, target_of
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.rules.words import several, told_drain

# kombu's names of the lists of priorities: the queue, the separator, the step
STEP = re.compile(r"(?:\x06\x16|\\x06\\x16|\\u0006\\u0016)\d+$")


def queue_of(name: str) -> str:
    """Return the queue of a list's name, which may be one of its priorities' lists."""
    return STEP.sub("", name)


def _is_known(name: str, queues: set[str]) -> bool:
    """Whether a list is a queue's, or a key that speaks of one: unacked, or with the queue in braces."""
    return queue_of(name) in queues or "unacked" in name or any(f"{{{queue}}}" in name for queue in queues)


def _unknown_list(context: Context) -> Iterator[Found]:
    if not context.drains or context.some_open or _prefixed(context):
        return
    queues = set(context.drained)
    for scaler in _scalers(context):
        for name in scaler.lists:
            if UNKNOWN not in name and not _is_known(name, queues):
                yield Found(
                    message=f"{scaler.name} scales on {name!r}, which no worker drains",
                    location=scaler.location,
                    evidence=(
                        f"{scaler.location}: trigger {scaler.kind} counts {name!r}",
                        f"the workers that were found drain {several(queues)}",
                        *(told_drain(drain, context) for drain in target_of(scaler, context.drains)),
                    ),
                    queue=name,
                )


def _prefixed(context: Context) -> bool:
    """Whether keys or queues may have a prefix of the transport's, so that a list is not named after its queue."""
    options = [setting.value for setting in context.facts.code.settings if setting.name == "broker_transport_options"]
    prefixes = {"global_keyprefix", "queue_name_prefix", "predefined_queues", UNKNOWN}
    return any(isinstance(value, dict) and prefixes & set(value) for value in options)


def _scalers(context: Context) -> Iterator[Scaler]:
    for scaler in context.facts.scalers:
        if scaler.kind != "hpa" and not scaler.surface.aside:
            yield scaler


def _list_only(context: Context) -> Iterator[Found]:
    if context.acks_late is False:
        return
    for scaler in _scalers(context):
        targets = target_of(scaler, context.drains)
        ours = targets or any(queue_of(name) in context.drained for name in scaler.lists)
        if scaler.kind != "redis" or scaler.counts_more or not ours:
            continue
        known = context.acks_late is True
        yield Found(
            message=f"{scaler.name} counts waiting tasks alone: {several(set(map(queue_of, scaler.lists)))}",
            location=scaler.location,
            evidence=(
                f"{scaler.location}: every trigger is a list of waiting tasks",
                "tasks are acknowledged late (acks_late)"
                if known
                else "whether tasks are acknowledged late is not known",
                *(told_drain(drain, context) for drain in targets[:2]),
            ),
            queue=queue_of(scaler.lists[0]),
            certain=known and scaler.certain,
        )


RULES = (
    Rule(
        "scaler-on-unknown-list",
        Severity.ERROR,
        "A ScaledObject counts a list that no worker drains.",
        "The list is always empty, so the workers stay at their minimum whatever waits.",
        "Name the list after the queue that the scaled workers drain.",
        _unknown_list,
    ),
    Rule(
        "list-only-scaling",
        Severity.WARNING,
        "A ScaledObject counts waiting tasks alone, and tasks are acknowledged late.",
        "A list is empty once its last task has begun: KEDA then removes pods that work, and their tasks run again.",
        "Count running tasks too, for instance by an `unacked` key of the queue's own, with a formula that adds both.",
        _list_only,
    ),
)
