"""A Celery application that opens files whenever the pool makes pipes for a new process.

A thread does that by chance: the descriptors of a dead process are free for a moment, and any connection may take one.
"""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorators have no types.)

import os
import time
from typing import Any

from celery import Celery
from celery.concurrency.asynpool import AsynPool

app = Celery("crowded")
FILES = int(os.environ.get("CROWDED_FILES", "0"))
create_process_queues = AsynPool.create_process_queues
opened: list[int] = []


def create_after_opening_files(pool: Any) -> Any:  # noqa: ANN401 a pool, and three pipes
    """Create the pipes, after files were opened elsewhere."""
    if pool._registered_with_event_loop:  # not those of its start: no descriptor is free then
        opened.extend(os.open("/dev/zero", os.O_RDONLY) for _ in range(FILES))
    return create_process_queues(pool)


@app.task(name="sample.sleep")
def sleep(_what: str, seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


AsynPool.create_process_queues = create_after_opening_files
