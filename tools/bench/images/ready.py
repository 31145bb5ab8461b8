"""How long a worker takes from its start until it is ready: ours against Celery's own, same application, same Redis.

Both run in the worker image's own files (another root, the image's user and environment), not under a container
engine: its start would be on both sides alike and hide the difference. Ours is ready when its readiness file is green,
Celery's when its log says so. They take turns, after one of each that does not count. Units: seconds.
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
from tools.bench.images.build_environment import BuildEnvironment, Order
from tools.bench.measure import LAST_LINES, interleaved

QUEUE = QUEUES.queue("default")
WITHIN = 180.0
LOOK_EVERY = 0.01
STATE = "/tmp/state"  # noqa: S108 in the image's root
# Mounts are the process' own and go with it.
ENTER = """
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
root=$1 user=$2
shift 2
exec chroot --userspec="$user:$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Side:
    """One kind of worker, and how its readiness shows in its log or in its root."""

    argv: tuple[str, ...]
    ready: Callable[[Path, str], bool]


def _green(root: Path, _log: str) -> bool:
    """Written beside its place and renamed: when, for how long, 1 for green."""
    try:
        return (root / STATE.lstrip("/") / "ready").read_text().split()[2] == "1"
    except FileNotFoundError:
        return False


def _says_so(_root: Path, log: str) -> bool:
    return re.search(r"\bcelery@\S+ ready\.", log) is not None


SIDES = {
    "runtime": Side(
        ("python", "-m", "alphaswarm_runtime", "worker", "--queues", QUEUE.name,
         "--concurrency", str(QUEUE.concurrency)),
        _green,
    ),
    "bare": Side(
        ("celery", "worker", "--queues", QUEUE.name, "--concurrency", str(QUEUE.concurrency), "--loglevel", "INFO"),
        _says_so,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stand:
    """The unpacked image, and the environment that its processes get."""

    root: Path
    env: Mapping[str, str]

    def time(self, side: Side) -> float:
        """Start a worker, end it, and say how long it took to be ready."""
        shutil.rmtree(self.root / STATE.lstrip("/"), ignore_errors=True)
        log = self.root.with_name("worker.log")
        with log.open("wb") as out:
            began = time.monotonic()
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", ENTER, "enter", str(self.root), str(WORKER.uid), *side.argv],
                env=dict(self.env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            while not side.ready(self.root, log.read_text(errors="replace")):
                if process.poll() is not None or time.monotonic() - began > WITHIN:
                    last = tail(log.read_text(errors="replace"), LAST_LINES)
                    raise CommandError(f"`{' '.join(side.argv)}` was not ready within {WITHIN:.0f} s:\n{last}")
                time.sleep(LOOK_EVERY)
            return time.monotonic() - began
        finally:
            _end(process)

    def laps(self, runs: int) -> Mapping[str, Sequence[float]]:
        """`runs` starts of each side, in turns."""
        return interleaved({name: partial(self.time, side) for name, side in SIDES.items()}, runs)


@contextmanager
def standing(environment: BuildEnvironment, order: Order, config: Mapping[str, Sequence[str]]) -> Iterator[Stand]:
    """Unpack the image, and start a Redis for it."""
    redis = Redis(ensure(["redis-server"], environment.progress)["redis-server"], environment.paths, environment.ports)
    root = environment.folder / "root"
    with environment.progress.step("unpacking the worker's image", usual="20 s"):
        environment.unpack(order, root)
        for name in ("dev", "proc"):
            (root / name).mkdir(exist_ok=True)
    try:
        redis.start(environment.progress)
        addresses = {"CELERY_BROKER_URL": redis.url(0), "CELERY_RESULT_BACKEND": redis.url(1)}
        image = dict(entry.partition("=")[::2] for entry in config["Env"])
        yield Stand(root, {**image, **addresses, "ALPHASWARM_STATE_DIR": STATE})
    finally:
        redis.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
