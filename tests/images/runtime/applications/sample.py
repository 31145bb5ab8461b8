"""A Celery application that knows nothing of the fleet, with settings that the fleet overrides."""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorator has no types.)

import builtins
import multiprocessing
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
    task_track_started=bool(os.environ.get("SAMPLE_TRACK_STARTED")),
    timezone="Europe/Berlin",
    beat_schedule={"tick": {"task": "sample.note", "schedule": 1.0, "args": ("tick",)}},
)


def journal() -> redis.Redis:
    """The client of the database where tasks record what happened, apart from the broker's keys."""
    return redis.Redis.from_url(os.environ["SAMPLE_JOURNAL"], decode_responses=True)


@app.task(name="sample.note")
def note(what: str) -> str:
    journal().rpush("journal", f"{what} {time.time()}")
    return what


@app.task(name="sample.sleep", bind=True)
def sleep(self: Task, what: str, seconds: float) -> str:
    journal().rpush("journal", f"start {what} {self.request.id} {time.time()} {os.getpid()}")
    time.sleep(seconds)
    journal().rpush("journal", f"end {what} {self.request.id} {time.time()} {os.getpid()}")
    return what


@app.task(name="sample.own_options", bind=True, acks_late=False, time_limit=90_000)
def own_options(_self: Task, what: str) -> str:
    return what


@app.task(name="sample.child_killer")
def child_killer() -> None:
    journal().rpush("journal", "killing child")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="sample.worker_killer")
def worker_killer() -> None:
    journal().rpush("journal", "killing worker")
    os.kill(os.getppid(), signal.SIGKILL)


@app.task(name="sample.run_program")
def run_program(seconds: float) -> None:
    """Runs a program of its own, as the Lean engine and terraform do."""
    program = subprocess.Popen(["sleep", str(seconds)])
    journal().rpush("journal", f"program {program.pid}")
    program.wait()


@app.task(name="sample.fail")
def fail() -> None:
    raise ValueError("as expected")


@app.task(name="sample.raise_builtin")
def raise_builtin(name: str) -> None:
    """Raise one of Python's own exceptions."""
    journal().rpush("journal", f"raising {name}")
    raise getattr(builtins, name)("sample")


@app.task(name="sample.requeue", bind=True)
def requeue(self: Task, times: int) -> None:
    if journal().incr(f"requeued {self.request.id}") <= times:
        raise Reject("not yet", requeue=True)
    journal().rpush("journal", "requeued enough")


@app.task(name="sample.log")
def log(text: str) -> None:
    import logging

    logging.getLogger("sample").warning("said: %s", text)


@app.task(name="sample.leave_marks", bind=True)
def leave_marks(self: Task, file: str, seconds: float, ignore_sigterm: bool = False) -> None:
    """Writes a line every few milliseconds, so that two executions at the same time can be seen, without a broker."""
    if ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + seconds
    with Path(file).open("a", buffering=1) as marks:
        while time.monotonic() < end:
            marks.write(f"{self.request.id} {os.getpid()} {time.monotonic()}\n")
            time.sleep(0.005)
        marks.write(f"{self.request.id} {os.getpid()} done\n")


@app.task(name="sample.ignore_soft_limit")
def ignore_soft_limit(seconds: float) -> None:
    """Goes on after its soft time limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except SoftTimeLimitExceeded:
            journal().rpush("journal", "soft limit")


@app.task(name="sample.retry_once", bind=True)
def retry_once(self: Task, seconds: float) -> str:
    if not self.request.retries:
        raise self.retry(countdown=seconds)
    return "second run"


@app.task(name="sample.rated", rate_limit="60/m")
def rated(number: int) -> None:
    journal().rpush("journal", f"rated-{number} {time.time()}")


@app.task(name="sample.length")
def length(text: str) -> int:
    return len(text)


@app.task(name="sample.start_process")
def start_process(method: str) -> int:
    """Runs a process of its own, as data loaders and multiprocessing pools do."""
    with multiprocessing.get_context(method).Pool(1) as pool:
        return int(pool.apply(os.getppid))


@app.task(name="sample.report_progress", bind=True)
def report_progress(self: Task, what: str) -> str:
    for step in range(3):
        self.update_state(state="PROGRESS", meta={"step": step})
    journal().rpush("journal", f"{what} {time.time()}")
    return what


@app.task(name="sample.unstorable")
def unstorable() -> object:
    return object()
