"""A Celery application as somebody else would write it: it knows nothing of the fleet, and disagrees with it."""

# mypy: disable-error-code="untyped-decorator"
# (Celery\'s decorator has no types.)

import os
import signal
import subprocess
import time
from pathlib import Path

import redis
from celery import Celery, Task
from celery.exceptions import Reject, SoftTimeLimitExceeded

app = Celery("sample", broker=os.environ.get("SAMPLE_BROKER", "redis://127.0.0.1:1/0"))
app.conf.update(
    result_backend=os.environ.get("SAMPLE_RESULTS"),
    worker_prefetch_multiplier=8,
    task_acks_late=False,
    broker_transport_options={"visibility_timeout": 99, "queue_order_strategy": "sorted"},
    result_expires=1234,
    timezone="Europe/Berlin",
    beat_schedule={"tick": {"task": "sample.note", "schedule": 1.0, "args": ("tick",)}},
)


def journal() -> redis.Redis:
    """Where the tasks write down what happened, beside the broker's own keys."""
    return redis.Redis.from_url(os.environ["SAMPLE_JOURNAL"], decode_responses=True)


@app.task(name="sample.note")
def note(what: str) -> str:
    journal().rpush("journal", f"{what} {time.time()}")
    return what


@app.task(name="sample.nap", bind=True)
def nap(self: Task, what: str, seconds: float) -> str:
    journal().rpush("journal", f"start {what} {self.request.id} {time.time()} {os.getpid()}")
    time.sleep(seconds)
    journal().rpush("journal", f"end {what} {self.request.id} {time.time()} {os.getpid()}")
    return what


@app.task(name="sample.stubborn", bind=True, acks_late=False, time_limit=90_000)
def stubborn(_self: Task, what: str) -> str:
    return what


@app.task(name="sample.child_killer")
def child_killer() -> None:
    journal().rpush("journal", "killing child")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="sample.worker_killer")
def worker_killer() -> None:
    journal().rpush("journal", "killing worker")
    os.kill(os.getppid(), signal.SIGKILL)


@app.task(name="sample.engine")
def engine(seconds: float) -> None:
    """Runs its work in a program of its own, as the Lean engine and terraform do."""
    program = subprocess.Popen(["sleep", str(seconds)])
    journal().rpush("journal", f"engine {program.pid}")
    program.wait()


@app.task(name="sample.fails")
def fails() -> None:
    raise ValueError("as told")


@app.task(name="sample.put_back", bind=True)
def put_back(self: Task, times: int) -> None:
    if journal().incr(f"put back {self.request.id}") <= times:
        raise Reject("not yet", requeue=True)
    journal().rpush("journal", "put back enough")


@app.task(name="sample.logs")
def logs(text: str) -> None:
    import logging

    logging.getLogger("sample").warning("said: %s", text)


@app.task(name="sample.tick", bind=True)
def tick(self: Task, file: str, seconds: float, deaf: bool = False) -> None:
    """Leaves a mark every few milliseconds, so that two runs at once can be seen. Needs no broker to do so."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + seconds
    with Path(file).open("a", buffering=1) as marks:
        while time.monotonic() < end:
            marks.write(f"{self.request.id} {os.getpid()} {time.monotonic()}\n")
            time.sleep(0.005)
        marks.write(f"{self.request.id} {os.getpid()} done\n")


@app.task(name="sample.deaf")
def deaf(seconds: float) -> None:
    """Takes no notice of its soft limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except SoftTimeLimitExceeded:
            journal().rpush("journal", "told")
