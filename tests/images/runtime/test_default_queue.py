"""Where a task without a route goes: to a queue that an image consumes, or the worker does not start."""

from dataclasses import replace
from typing import Any

import pytest
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import catalogue, enforced_settings, environment, worker_profile
from celery import Celery


def enforced(monkeypatch: pytest.MonkeyPatch, queue: str, **settings: Any) -> Celery:  # noqa: ANN401 any setting
    """An application after the settings of a catalogue with that one queue were enforced."""
    shipped = catalogue.load()
    row = replace(next(iter(shipped.queues.values())), image="worker")
    images = {"worker": replace(shipped.images["worker"], queues=(queue,))}
    own = replace(shipped, images=images, queues={queue: row})
    monkeypatch.setattr(catalogue, "load", lambda: own)
    parsed = environment.read({"CELERY_APP": "sample", "ALPHASWARM_IMAGE": "worker"})
    app = Celery("sample", set_as_current=False)
    app.conf.update(settings)
    app.finalize()  # as loading an application does
    enforced_settings.apply(app, worker_profile.create(parsed, own))
    return app


def test_a_task_without_a_route_goes_to_the_queue_named_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert enforced(monkeypatch, "default").conf.task_default_queue == "default"


def test_an_application_names_its_default_queue_where_none_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert enforced(monkeypatch, "orders", task_default_queue="orders").conf.task_default_queue == "orders"


def test_an_application_whose_tasks_would_wait_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"no task_default_queue.* Set it to one of orders\.") as refused:
        enforced(monkeypatch, "orders")
    assert "\n" not in str(refused.value)
