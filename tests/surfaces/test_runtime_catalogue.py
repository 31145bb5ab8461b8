"""The images carry the catalogue as queues.py has it."""

import importlib
from pathlib import Path

import pytest

from queues import IMAGES, QUEUES
from surfaces.runtime_catalogue import runtime_catalogue


def test_the_runtime_reads_every_row_as_it_stands(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "images/runtime/src"))
    read = importlib.import_module("alphaswarm_runtime.settings.catalogue").parse(runtime_catalogue())
    assert {name: (image.name, image.concurrency, set(image.queues)) for name, image in read.images.items()} == {
        image.target: (image.name, image.concurrency, {queue.name for queue in QUEUES.of(image)}) for image in IMAGES
    }
    assert set(read.queues) == QUEUES.names
    for queue in QUEUES.queues:
        row = read.queues[queue.name]
        soft = None if queue.soft_shutdown is None else queue.soft_shutdown.total_seconds()
        assert (row.image, row.concurrency, row.soft_shutdown) == (queue.image.target, queue.concurrency, soft)
        times = (queue.time_limit, queue.grace_period, queue.visibility_timeout)
        assert (row.time_limit, row.grace_period, row.visibility_timeout) == tuple(
            time.total_seconds() for time in times
        )
        assert row.cancel_on_connection_loss is queue.cancel_on_connection_loss, "half a terraform apply is ended"
