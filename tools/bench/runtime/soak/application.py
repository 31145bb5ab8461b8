"""The application of a soak. Each run of a task writes down, in a file that no broker keeps, that it is under way.

A line is `what number pid process-group seconds`, by the clock that all processes share; `what` is start, mark or end.
"""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorator has no types.)

import os
import time

from celery import Celery

MARK_INTERVAL = 0.02  # seconds

app = Celery("soak", broker=os.environ["CELERY_BROKER_URL"])
app.conf.task_ignore_result = True


@app.task(name="soak.run")
def run(number: int, seconds: float) -> None:
    """Run for so long."""
    ledger = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_APPEND)
    try:
        _write(ledger, "start", number)
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(left, MARK_INTERVAL))
            _write(ledger, "mark", number)
        _write(ledger, "end", number)
    finally:
        os.close(ledger)


def _write(ledger: int, what: str, number: int) -> None:
    os.write(ledger, f"{what} {number} {os.getpid()} {os.getpgid(0)} {time.monotonic()}\n".encode())
