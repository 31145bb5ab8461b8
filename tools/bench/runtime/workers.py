"""A worker of either kind: the fleet's runtime, or Celery's own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from tools.bench.runtime.server import Server

RUNTIME = Path("images") / "runtime" / "src"
QUEUE = "default"
FLEET, BARE = "runtime", "celery"


def send(server: Server, count: int, *, pause: float = 0.0) -> None:
    """Send `count` tasks as any Celery client does, `pause` seconds apart."""
    app = Celery("sender", broker=server.url, set_as_current=False)
    app.conf.task_ignore_result = True
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            app.send_task("bench.nothing", (time.monotonic(),), queue=QUEUE, producer=producer)
            time.sleep(pause)


@contextmanager
def worker(kind: str, server: Server, folder: Path, concurrency: int) -> Iterator[int]:
    """Run a worker, and yield the id of its parent process once it consumes."""
    folder.mkdir(parents=True, exist_ok=True)
    log = (folder / f"{kind}.log").open("wb")
    process = subprocess.Popen(
        command(kind, concurrency), env=environment(server, folder), stdout=log, stderr=log, start_new_session=True
    )
    try:
        _wait_until_it_consumes(server, process, folder / f"{kind}.log")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
        server.client().flushall()


def command(kind: str, concurrency: int) -> Sequence[str]:
    """Return the command that starts a worker."""
    if kind == FLEET:
        options = ["worker", "--queues", QUEUE, "--concurrency", str(concurrency)]
        return [sys.executable, "-m", "alphaswarm_runtime", *options]
    options = ["worker", "-Q", QUEUE, "-c", str(concurrency), "--without-gossip", "--without-heartbeat", "-l", "INFO"]
    return [sys.executable, "-m", "celery", "-A", "tools.bench.runtime.application", *options]


def environment(server: Server, folder: Path) -> dict[str, str]:
    """Return its environment; what it writes lies in the folder."""
    return {
        **os.environ,
        "CELERY_APP": "tools.bench.runtime.application",
        "CELERY_BROKER_URL": server.url,
        "BENCH_STARTS": server.starts_url,
        "ALPHASWARM_IMAGE": "worker",
        "ALPHASWARM_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join((str(RUNTIME), str(Path.cwd()))),
    }


def _wait_until_it_consumes(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    send(server, 1)
    while not server.starts():
        if process.poll() is not None:
            raise ChildProcessError(f"the worker ended: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    server.client(server.starts_url).delete("starts")
