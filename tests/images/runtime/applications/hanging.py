"""A Celery application whose pool processes hang as they start, for as long as a file is there."""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorators have no types.)

import os
import time
from pathlib import Path

from celery import Celery, signals

app = Celery("hanging")
app.conf.worker_proc_alive_timeout = 3.0


@signals.worker_process_init.connect(weak=False)
def hang(**_kwargs: object) -> None:
    """Hang for good, as a child does that was forked while another thread held a lock."""
    if Path(os.environ["HANGING_FILE"]).exists():
        Path(os.environ["HANGING_FILE"]).unlink()
        time.sleep(3600)


@app.task(name="sample.pid")
def pid() -> int:
    """Say which process runs it."""
    return os.getpid()
