"""A change of one queue is a change of that queue only, as a preview would show it."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

import queues
from config.schema import QueueTuning
from tests.own_rows import catalogue
from tests.program.harness import Program, attempt, configuration, program, queues_of, run, secrets_of


def seconds(duration: timedelta) -> int:
    """Whole seconds, as a stack's file has them."""
    return int(duration.total_seconds())


FREE = [queue for queue in queues.QUEUES.queues if queue.scale_down is queues.ScaleDown.ALLOWED]
TO_ZERO = [queue for queue in queues.QUEUES.queues if queue.min_replicas == 0]
ANY = list(queues.QUEUES.queues)
Tuning = Callable[[queues.Queue], int]
# Each key, with queues that may be tuned by it and a value that is not theirs: a queue each, in turn.
TUNING: dict[str, tuple[list[queues.Queue], Tuning]] = {
    "maxReplicas": (ANY, lambda row: row.max_replicas + 1),
    "concurrency": (FREE, lambda row: row.concurrency + 1),
    "timeLimit": (ANY, lambda row: seconds(row.time_limit) - 1),
    "pollingInterval": (TO_ZERO, lambda row: seconds(row.times["polling_interval"]) + 1),
    "gracePeriod": (ANY, lambda row: seconds(row.grace_period) + 1),
    "softShutdown": (ANY, lambda row: seconds(row.times.get("soft_shutdown", row.time_limit)) - 1),
    "visibilityTimeout": (ANY, lambda row: seconds(row.visibility_timeout) + 1),
}
BEAT_IS_TOLD: dict[str, dict[str, Any]] = {
    "sessions": {"sessions": {"calendar": "XLON", "minReplicas": ANY[-1].max_replicas}},
    "targetWait": {"targetWait": 60},
}
CASES = [
    pytest.param(row, key, value(row), id=f"{row.name}-{key}")
    for turn, (key, (rows, value)) in enumerate(TUNING.items())
    for row in rows[turn % max(len(rows), 1) :][:1]
]


def changed(before: Program, after: Program) -> set[str]:
    """The URNs, without their stack, of all that a preview would show as changed, new or gone."""

    def view(found: Program) -> dict[str, tuple[Any, ...]]:
        return {
            one.urn.split("::", 2)[2]: (one.inputs, one.protect, one.retain_on_delete, len(one.dependencies))
            for one in found.registrations
        }

    old, new = view(before), view(after)
    return {urn for urn in old.keys() | new.keys() if old.get(urn) != new.get(urn)}


def test_the_same_configuration_registers_the_same_twice() -> None:
    assert changed(program("dev"), run(configuration("dev"), secrets_of("dev"))) == set()


@pytest.mark.parametrize(("row", "key", "value"), CASES)
def test_tuning_a_queue_changes_that_queues_objects_only(row: queues.Queue, key: str, value: int) -> None:
    scaling = {row.name: {key: value}}
    touched = changed(untuned(), run(configuration("dev", scaling=scaling), secrets_of("dev")))
    assert touched, "the tuning has no effect"
    assert {urn.rpartition("::")[2] for urn in touched} == {row.deployment}, "a preview shows other queues as well"


def test_every_key_of_a_queues_tuning_is_tried_but_those_that_only_move_bounds() -> None:
    keys = {field.alias for field in QueueTuning.model_fields.values()}
    assert keys - TUNING.keys() == {"minReplicas", "cooldownPeriod", *BEAT_IS_TOLD}


@pytest.mark.parametrize("key", BEAT_IS_TOLD)
def test_sessions_and_a_promised_wait_touch_the_queues_scaler_and_beat_which_keeps_their_numbers(key: str) -> None:
    queue = ANY[-1]
    touched = changed(untuned(), run(configuration("dev", scaling={queue.name: BEAT_IS_TOLD[key]}), secrets_of("dev")))
    kinds = {(urn.rpartition("$")[2].partition("::")[0], urn.rpartition("::")[2]) for urn in touched}
    assert kinds == {
        ("kubernetes:keda.sh/v1alpha1:ScaledObject", queue.deployment),
        ("kubernetes:apps/v1:Deployment", "alphaswarm-beat"),
    }


def test_a_queues_bounds_touch_its_scaler_and_never_restart_its_pods() -> None:
    scaling = {ANY[0].name: {"maxReplicas": ANY[0].max_replicas + 1}}
    touched = changed(untuned(), run(configuration("dev", scaling=scaling), secrets_of("dev")))
    assert {urn.rpartition("$")[2].partition("::")[0] for urn in touched} == {
        "kubernetes:keda.sh/v1alpha1:ScaledObject"
    }


@cache
def untuned() -> Program:
    """The stack `dev` with every queue as its row is."""
    return run(configuration("dev", scaling={}), secrets_of("dev"))


def with_rows(rows: tuple[queues.Queue, ...]) -> Program:
    """The stack `dev` with another catalogue."""
    with catalogue(queues.Catalogue(rows)):
        found = attempt(configuration("dev"), secrets_of("dev"))
    assert isinstance(found, Program), found
    return found


def test_a_new_row_adds_that_queues_objects_and_widens_the_quota() -> None:
    row = dataclasses.replace(queues.QUEUES.of(queues.EXECUTOR)[0], name="one-more")
    after = with_rows((*queues.QUEUES.queues, row))
    touched = {urn.rpartition("::")[2] for urn in changed(program("dev"), after)}
    assert touched == {"alphaswarm-executor-one-more", "alphaswarm-quota"}
    assert queues_of(after.workers()["alphaswarm-executor-one-more"]) == ["one-more"]
    assert "one-more" in after.exports["heavyQueues"]


def test_a_rows_own_change_touches_that_queue_only() -> None:
    row = FREE[-1]
    rows = tuple(
        dataclasses.replace(queue, concurrency=queue.concurrency + 9) if queue is row else queue
        for queue in queues.QUEUES.queues
    )
    touched = changed(program("dev"), with_rows(rows))
    assert {urn.rpartition("::")[2] for urn in touched} == {row.deployment}


def test_the_order_of_rows_means_nothing() -> None:
    assert changed(program("dev"), with_rows(tuple(reversed(queues.QUEUES.queues)))) == set()
