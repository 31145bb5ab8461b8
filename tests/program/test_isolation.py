"""A change of one queue is a change of that queue only, as a preview would show it."""

import dataclasses
from typing import Any

import pytest

import queues
from tests.program.harness import Program, attempt, configuration, program, queues_of, run, secrets_of

TUNING: dict[str, dict[str, int]] = {
    "default": {"maxReplicas": 9},
    "rag": {"concurrency": 3},
    "ml": {"timeLimit": 3500},
    "agents": {"pollingInterval": 6},
    "backtest": {"gracePeriod": 7400},
    "ingestion": {"softShutdown": 500},
    "terraform": {"visibilityTimeout": 10900},
}


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


@pytest.mark.parametrize("queue", TUNING)
def test_tuning_a_queue_changes_that_queues_objects_only(queue: str) -> None:
    scaling = {**configuration("dev")["scaling"]}
    scaling[queue] = {**scaling.get(queue, {}), **TUNING[queue]}
    after = run(configuration("dev", scaling=scaling), secrets_of("dev"))
    touched = changed(program("dev"), after)
    assert touched, "the tuning has no effect"
    deployment = queues.QUEUES.queue(queue).deployment
    assert {urn.rpartition("::")[2] for urn in touched} == {deployment}, "a preview shows other queues as well"


def test_a_queues_bounds_touch_its_scaler_and_never_restart_its_pods() -> None:
    scaling = {**configuration("dev")["scaling"], "rag": {"maxReplicas": 5}}
    touched = changed(program("dev"), run(configuration("dev", scaling=scaling), secrets_of("dev")))
    assert {urn.rpartition("$")[2].partition("::")[0] for urn in touched} == {
        "kubernetes:keda.sh/v1alpha1:ScaledObject"
    }


def with_rows(monkeypatch: pytest.MonkeyPatch, rows: tuple[queues.Queue, ...]) -> Program:
    """The stack `dev` with another catalogue, in all modules that hold it."""
    catalogue = queues.Catalogue(rows)
    monkeypatch.setattr(queues, "QUEUES", catalogue)
    monkeypatch.setattr("config.tuning.QUEUES", catalogue)
    monkeypatch.setattr("config.rules.QUEUES", catalogue)
    monkeypatch.setattr("manifests.foundation.QUEUES", catalogue)
    found = attempt(configuration("dev"), secrets_of("dev"))
    assert isinstance(found, Program), found
    return found


def test_a_new_row_adds_that_queues_objects_and_widens_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(queues.QUEUES.queue("rag"), name="embeddings")
    after = with_rows(monkeypatch, (*queues.QUEUES.queues, row))
    touched = {urn.rpartition("::")[2] for urn in changed(program("dev"), after)}
    assert touched == {"alphaswarm-executor-embeddings", "alphaswarm-quota"}
    assert queues_of(after.workers()["alphaswarm-executor-embeddings"]) == ["embeddings"]
    assert "embeddings" in after.exports["heavyQueues"]


def test_a_rows_own_change_touches_that_queue_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(
        dataclasses.replace(queue, concurrency=9) if queue.name == "factors" else queue
        for queue in queues.QUEUES.queues
    )
    touched = changed(program("dev"), with_rows(monkeypatch, rows))
    assert {urn.rpartition("::")[2] for urn in touched} == {"alphaswarm-executor-factors"}


def test_the_order_of_rows_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(program("dev"), with_rows(monkeypatch, tuple(reversed(queues.QUEUES.queues)))) == set()
