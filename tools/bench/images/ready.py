"""Measures how long a worker takes until it is ready: the runtime's, and Celery's own. Units: seconds.

Both run the same application with the same Redis, in the worker image's files (chroot, the image's user and
environment). They run without a container engine, whose start would be a part of both times and hide the difference.
Ours is ready when its readiness file says so, Celery's when its log does. They take turns, after a first start of
each that is left out.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.errors import CommandError
from common.tail import tail
from local.services.redis import Redis
from queues import QUEUES, WORKER
from toolchain import ensure
from tools.bench.images.build_environment import BuildEnvironment, ImageBuild
from tools.bench.measure import LAST_LINES, interleaved

QUEUE = QUEUES.of(WORKER)[0]
TIMEOUT = 180.0
POLL_SECONDS = 0.01
STATE = "/tmp/state"  # noqa: S108 in the image's root
# The mounts are in the process' own mount namespace, and vanish with it.
ENTER = """
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
root=$1 user=$2
shift 2
exec chroot --userspec="$user:$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Worker:
    """A kind of worker; `ready` gets the root folder and the log."""

    argv: tuple[str, ...]
    ready: Callable[[Path, str], bool]


def _readiness_file_says_so(root: Path, _log: str) -> bool:
    """Read the readiness file: the time, how long it counts, and 1 for ready."""
    try:
        return (root / STATE.lstrip("/") / "ready").read_text().split()[2] == "1"
    except FileNotFoundError:
        return False


def _log_says_so(_root: Path, log: str) -> bool:
    return re.search(r"\bcelery@\S+ ready\.", log) is not None


WORKERS = {
    "runtime": Worker(
        ("python", "-m", "alphaswarm_runtime", "worker", "--queues", QUEUE.name,
         "--concurrency", str(QUEUE.concurrency)),
        _readiness_file_says_so,
    ),
    "bare": Worker(
        ("celery", "worker", "--queues", QUEUE.name, "--concurrency", str(QUEUE.concurrency), "--loglevel", "INFO"),
        _log_says_so,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class UnpackedImage:
    """The image's files, and the environment of its processes."""

    root: Path
    env: Mapping[str, str]

    def time(self, worker: Worker) -> float:
        """Start a worker and end it; return how long it took to be ready."""
        shutil.rmtree(self.root / STATE.lstrip("/"), ignore_errors=True)
        log = self.root.with_name("worker.log")
        with log.open("wb") as out:
            began = time.monotonic()
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", ENTER, "enter", str(self.root), str(WORKER.uid), *worker.argv],
                env=dict(self.env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            while not worker.ready(self.root, log.read_text(errors="replace")):
                if process.poll() is not None or time.monotonic() - began > TIMEOUT:
                    last = tail(log.read_text(errors="replace"), LAST_LINES)
                    raise CommandError(f"`{' '.join(worker.argv)}` was not ready within {TIMEOUT:.0f} s:\n{last}")
                time.sleep(POLL_SECONDS)
            return time.monotonic() - began
        finally:
            _end(process)

    def starts(self, runs: int) -> Mapping[str, Sequence[float]]:
        """Start each worker `runs` times, in turns; return the times by name."""
        return interleaved({name: partial(self.time, worker) for name, worker in WORKERS.items()}, runs)


@contextmanager
def worker_to_start(
    environment: BuildEnvironment, image_build: ImageBuild, config: Mapping[str, Sequence[str]]
) -> Iterator[UnpackedImage]:
    """Unpack the image, and start a Redis server for it."""
    redis = Redis(ensure(["redis-server"], environment.progress)["redis-server"], environment.paths, environment.ports)
    root = environment.folder / "root"
    with environment.progress.step("unpacking the worker's image", usual="20 s"):
        environment.unpack(image_build, root)
        for name in ("dev", "proc"):
            (root / name).mkdir(exist_ok=True)
    try:
        redis.start(environment.progress)
        addresses = {"CELERY_BROKER_URL": redis.url(0), "CELERY_RESULT_BACKEND": redis.url(1)}
        image = dict(entry.partition("=")[::2] for entry in config["Env"])
        yield UnpackedImage(root, {**image, **addresses, "ALPHASWARM_STATE_DIR": STATE})
    finally:
        redis.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
