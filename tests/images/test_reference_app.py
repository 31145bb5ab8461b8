"""The reference application sends every task to a queue of the catalogue, and has one for each.

Celery itself is asked where a task goes. The tasks are read as text: what they import lies in the application's own
lock, and is not installed where these tests run.
"""

import ast
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from config.application import REFERENCE_APPLICATION
from config.schema import BuildImages
from queues import QUEUES
from surfaces.stacks import stacks

ROOT = Path(__file__).parents[2]
BUILDING = [found.images for found in stacks(ROOT).values() if isinstance(found.images, BuildImages)]
pytestmark = pytest.mark.skipif(
    all(images.application != REFERENCE_APPLICATION for images in BUILDING),
    reason="no stack builds the reference application",
)
TASKS = ROOT / REFERENCE_APPLICATION / "src/alphaswarm/tasks"
MODULES = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(TASKS.glob("*.py"))}


@cache
def application() -> Any:  # noqa: ANN401 Celery has no types
    """The Celery application, with no task loaded."""
    return runpy.run_path(str(TASKS / "celery_app.py"))["app"]


def tasks(module: str) -> Iterator[str]:
    """The functions of a module that Celery runs."""
    for node in MODULES[module].body:
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(decorator).startswith(("app.task", "shared_task")) for decorator in node.decorator_list
        ):
            yield node.name


def queue_of(task: str) -> str:
    """Where Celery sends a task."""
    return str(application().amqp.router.route({}, task)["queue"].name)


def every_task() -> list[str]:
    """All tasks by their full name."""
    return [f"alphaswarm.tasks.{module}.{name}" for module in MODULES for name in tasks(module)]


def test_no_route_leads_to_a_queue_that_nobody_drains() -> None:
    routes = {route["queue"] for route in application().conf.task_routes.values()}
    assert routes == QUEUES.names, "a task would wait for ever, or a queue stay empty"
    assert application().conf.task_default_queue in QUEUES.names


def test_no_task_goes_to_the_default_queue_for_want_of_a_route() -> None:
    for task in every_task():
        module = task.split(".")[-2]
        assert f"{queue_of(task)}_tasks" == module, f"{task} has no route of its own"


@pytest.mark.parametrize("queue", sorted(QUEUES.names))
def test_every_queue_has_a_task(queue: str) -> None:
    assert [task for task in every_task() if queue_of(task) == queue], (
        f"the reference application has no task for {queue}: add a module for it, or build your own application in all "
        "stacks (fleet:images.application)"
    )


def test_every_module_with_tasks_is_loaded() -> None:
    included = set(application().conf.include)
    with_tasks = {task.rpartition(".")[0] for task in every_task()}
    assert with_tasks == included, "a worker would refuse a task as unknown"


def test_no_task_names_a_queue_itself() -> None:
    for module, tree in MODULES.items():
        words = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
        assert "queue" not in words, f"{module} sends past the routes"


def test_the_schedule_names_tasks_that_there_are() -> None:
    scheduled = {entry["task"] for entry in application().conf.beat_schedule.values()}
    assert scheduled
    assert scheduled <= set(every_task())
