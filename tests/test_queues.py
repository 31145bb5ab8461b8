"""The catalogue: whatever can be built is a partition, and what cannot work is refused with the reason."""

import ast
import dataclasses
import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import queues
from queues import (
    EXECUTOR,
    IMAGES,
    QUEUES,
    WORKER,
    AlwaysOn,
    Catalogue,
    CatalogueError,
    Image,
    Queue,
    ScaleDown,
)

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,10}[A-Za-z0-9])?", fullmatch=True)


def row(name: str = "rows", image: Image = WORKER, **changes: Any) -> Queue:  # noqa: ANN401 any field
    """A row that keeps all constraints, with some fields changed."""
    fields: dict[str, Any] = {
        "description": "a test",
        "replicas": (0, 3),
        "concurrency": 2,
        "time_limit": timedelta(seconds=100),
        "grace_period": timedelta(seconds=110),
        "visibility_timeout": timedelta(seconds=300),
    }
    return Queue(name, image, **{**fields, **changes})


@st.composite
def rows(draw: st.DrawFn) -> Queue:
    limit = draw(st.integers(1, 10**6))
    soft = draw(st.none() | st.integers(1, 10**6))
    grace = (limit if soft is None else soft) + draw(st.integers(1, 10**4))
    timeout = max(grace, limit) + draw(st.integers(1, 10**5))
    least = draw(st.integers(0, 50))
    return row(
        draw(names),
        draw(st.sampled_from(IMAGES)),
        replicas=(least, max(least, 1) + draw(st.integers(0, 50))),
        concurrency=draw(st.integers(1, 64)),
        time_limit=timedelta(seconds=limit),
        soft_shutdown=None if soft is None else timedelta(seconds=soft),
        grace_period=timedelta(seconds=grace),
        visibility_timeout=timedelta(seconds=timeout),
    )


def test_the_catalogue_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(queues.__file__).read_text())
    imported = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported, "the walk found no import at all"
    assert imported <= sys.stdlib_module_names, "the images' build cannot read the catalogue any more"


def test_rows_images_and_catalogue_cannot_be_changed_in_place() -> None:
    for value, field in ((QUEUES, "queues"), (QUEUES.queues[0], "image"), (WORKER, "uid"), (WORKER.limits, "cpu")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)


def of_both_images(*more: Queue) -> Catalogue:
    """A catalogue in which each image has a queue, whatever else it has."""
    return Catalogue((row("first", WORKER), row("second", EXECUTOR), *more))


@given(st.lists(rows(), max_size=12))
def test_any_catalogue_that_can_be_built_is_a_partition(given_rows: list[Queue]) -> None:
    found = [queue.name for queue in given_rows]
    twice = {name for name in found if found.count(name) > 1}
    if twice:
        with pytest.raises(CatalogueError) as refusal:
            Catalogue(tuple(given_rows))
        assert ", ".join(sorted(twice)) in str(refusal.value)
        return
    if idle := {image.name for image in IMAGES} - {queue.image.name for queue in given_rows}:
        with pytest.raises(CatalogueError, match="each image drains at least one queue") as refusal:
            Catalogue(tuple(given_rows))
        assert ", ".join(sorted(idle, reverse=True)) in str(refusal.value)
        return
    if len({queue.deployment for queue in given_rows}) < len(given_rows):
        with pytest.raises(CatalogueError, match="a Deployment of its own"):
            Catalogue(tuple(given_rows))
        return
    catalogue = Catalogue(tuple(given_rows))
    worker, executor = ({queue.name for queue in catalogue.of(image)} for image in (WORKER, EXECUTOR))
    assert not worker & executor, "a queue is drained by both images"
    assert worker | executor == catalogue.names == set(found), "a queue is drained by nobody"
    assert executor == catalogue.heavy_queues
    for queue in catalogue.queues:
        assert (queue.image is EXECUTOR) is (queue.name in executor)
        assert catalogue.image_of(queue.name) is queue.image
        assert catalogue.queue(queue.name) is queue
    assert len({queue.deployment for queue in catalogue.queues}) == len(found), "two queues share a Deployment"


@pytest.mark.parametrize(
    ("one", "other"), [("market_data", "market-data"), ("eod.prices", "eod-prices"), ("Reports", "reports")]
)
def test_names_that_celery_tells_apart_and_a_deployment_does_not_are_refused_together(one: str, other: str) -> None:
    with pytest.raises(CatalogueError) as refusal:
        of_both_images(row(one), row(other))
    assert one in str(refusal.value)
    assert other in str(refusal.value)
    of_both_images(row(one, WORKER), row(other, EXECUTOR))


@given(rows())
def test_a_queues_deployment_is_a_dns_label_that_no_image_bears(queue: Queue) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", queue.deployment), "the API server would refuse it"
    assert queue.deployment not in {image.name for image in IMAGES}
    assert len(queue.deployment) + 17 <= 63, "the names of its pods would be cut"


seconds = st.integers(1, 10**6)
BROKEN = {
    "letters, digits": st.from_regex(r"[a-z]+[ ,:/é][a-z]*|[-_.][a-z]+|[a-z]+[-_.]|", fullmatch=True).map(
        lambda name: {"name": name}
    ),
    "fit into the names of its pods": st.from_regex(r"[a-z]{29,60}", fullmatch=True).map(lambda name: {"name": name}),
    "0 <= min <= max": st.tuples(st.integers(1, 50), st.integers(1, 50)).map(
        lambda pair: {"replicas": (sum(pair), pair[0])}
    )
    | st.integers(-50, -1).map(lambda least: {"replicas": (least, 3)}),
    "max replicas must be at least 1": st.just({"replicas": (0, 0)}),
    "never scales to zero": st.just({"replicas": (0, 3), "always_on": AlwaysOn.EVERYWHERE}),
    "concurrency must be at least 1": st.integers(-9, 0).map(lambda count: {"concurrency": count}),
    "gpus must not be negative": st.integers(-9, -1).map(lambda count: {"gpus": count}),
    "polling interval is needed": st.just({"polling_interval": None}),
    "cooldown period is needed": st.just({"cooldown_period": None}),
    "must exceed the time limit": st.integers(1, 100).map(lambda grace: {"grace_period": timedelta(seconds=grace)}),
    "must exceed the soft shutdown": seconds.map(
        lambda soft: {
            "soft_shutdown": timedelta(seconds=soft),
            "grace_period": timedelta(seconds=soft),
            "visibility_timeout": timedelta(seconds=soft + 10**6),
        }
    ),
    "must exceed the grace period": st.integers(1, 110).map(
        lambda timeout: {"visibility_timeout": timedelta(seconds=timeout)}
    ),
    "whole seconds": st.sampled_from(
        ["time_limit", "grace_period", "visibility_timeout", "polling_interval", "cooldown_period"]
    ).flatmap(
        lambda field: st.sampled_from([timedelta(0), timedelta(seconds=-1), timedelta(milliseconds=1500)]).map(
            lambda duration: {field: duration}
        )
    ),
}


@pytest.mark.parametrize("constraint", BROKEN)
@given(st.data())
def test_a_row_that_cannot_work_is_refused_with_the_constraint_it_breaks(constraint: str, data: st.DataObject) -> None:
    changes: dict[str, Any] = data.draw(BROKEN[constraint])
    with pytest.raises(CatalogueError) as refusal:
        row(changes.pop("name", "rows"), **changes)
    assert constraint in str(refusal.value)
    assert str(refusal.value).startswith("queue ")


def test_all_broken_constraints_are_named_at_once() -> None:
    with pytest.raises(CatalogueError) as refusal:
        row("no!", replicas=(5, 2), concurrency=0, grace_period=timedelta(seconds=1))
    for constraint in ("letters, digits", "0 <= min <= max", "concurrency", "must exceed the time limit"):
        assert constraint in str(refusal.value)


def test_a_pod_whose_runs_must_not_be_interrupted_takes_one_at_a_time() -> None:
    with pytest.raises(CatalogueError, match="takes one at a time, got concurrency 2"):
        replace(row(scale_down=ScaleDown.DISABLED, concurrency=1), concurrency=2)


def test_no_image_is_told_of_a_queue_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        QUEUES.image_of("no-such-queue")
