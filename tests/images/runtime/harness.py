"""A real Redis server and real worker processes, on free loopback ports and in a folder of their own.

Celery's AsyncResult waits for a result by a subscription, and the tests drop every connection: a lost result and a lost
notification would look the same. So `SentTask` reads the result backend itself, over a new connection each time. When
a test fails, `Fleet.report` says where every message and every worker is.
"""

import atexit
import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "images" / "runtime" / "src"
APPLICATIONS = Path(__file__).parent / "applications"
OWN_QUEUES = Path(__file__).parent / "catalogue.json"


def _with_own_queues() -> Path:
    """A copy of the package, until the tests end, whose catalogue has the queues that these tests name.

    What queues the fleet has is none of the runtime's business: its tests stay as they are when those change.
    """
    source = Path(tempfile.mkdtemp(prefix="runtime-"))
    atexit.register(shutil.rmtree, source, ignore_errors=True)
    shutil.copytree(SHIPPED, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    catalogue = source / "alphaswarm_runtime" / "catalogue.json"
    constraints = json.loads(catalogue.read_text())["time_constraints"]
    catalogue.write_text(json.dumps({**json.loads(OWN_QUEUES.read_text()), "time_constraints": constraints}))
    return source


SOURCE = _with_own_queues()

T = TypeVar("T")
Redis: TypeAlias = Any  # redis.Redis
App: TypeAlias = Any  # celery.Celery

TIMEOUT = 60.0  # seconds for what must happen; how soon it does is another question
TAIL = 60  # lines of each log in a report

BASE = {
    "CELERY_APP": "sample",
    "ALPHASWARM_IMAGE": "worker",
    "ALPHASWARM_HEARTBEAT": "1",
    "ALPHASWARM_RESTORE_INTERVAL": "1",
    "ALPHASWARM_LEASE": "6",
    "ALPHASWARM_BROKER_WAIT": "5",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": os.pathsep.join((str(SOURCE), str(APPLICATIONS))),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], T], what: str, within: float = TIMEOUT) -> T:
    """Wait until the condition is true, and return its value."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        time.sleep(0.05)
    return value


def marks(file: Path) -> dict[int, list[float]]:
    """For each process that ran the task, when it left its marks."""
    found: dict[int, list[float]] = {}
    for line in file.read_text().splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] != "done":
            found.setdefault(int(fields[1]), []).append(float(fields[2]))
    return found


def overlap(file: Path) -> float:
    """For how many seconds two runs of the task were under way at once."""
    runs = sorted((min(times), max(times)) for times in marks(file).values())
    return sum(max(0.0, first[1] - second[0]) for first, second in itertools.pairwise(runs))


@contextlib.contextmanager
def zombie(pid: int) -> Iterator[None]:
    """Kill a process, and keep its parent from reaping it meanwhile.

    The kernel closes the files of an exiting process before its parent's waitpid() finds it. That moment is short; it
    lasts while another process traces it.
    """
    seize = 0x4206
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(ctypes.c_long(seize), ctypes.c_long(pid), None, None) != 0:
        pytest.skip(f"this kernel lets nobody trace a process: {os.strerror(ctypes.get_errno())}")
    os.kill(pid, signal.SIGKILL)
    try:
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it is a zombie")
        yield
    finally:
        os.waitpid(pid, 0)


@dataclass
class Server:
    """redis-server on a port of its own; it can be paused, stopped and started again with its data."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def journal_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/5"

    @property
    def results_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/1"

    def client(self, url: str | None = None) -> Redis:
        import redis

        return redis.Redis.from_url(url or self.url, decode_responses=True, socket_timeout=5)

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--save", "", "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._answers, "redis-server answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def drop_connections(self) -> None:
        """Close the connection of every client; each may connect again at once."""
        with contextlib.closing(self.client()) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    def messages(self) -> dict[str, object]:
        """What the broker holds, by key."""
        with contextlib.closing(self.client()) as client:
            read = {
                "list": lambda key: client.lrange(key, 0, -1),
                "hash": client.hgetall,
                "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
                "set": client.smembers,
                "string": client.get,
            }
            return {key: read[client.type(key)](key) for key in sorted(client.keys())}

    def journal(self) -> list[str]:
        with contextlib.closing(self.client(self.journal_url)) as client:
            return list(client.lrange("journal", 0, -1))

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except OSError:
            return False
        except Exception as error:
            if type(error).__module__.startswith("redis"):
                return False
            raise


@dataclass
class Process:
    """One `alphaswarm-runtime`, in a session of its own so that its orphans can be killed with it."""

    popen: subprocess.Popen[bytes]
    log: Path
    environ: dict[str, str]

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def probe(self, name: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "alphaswarm_runtime", "probe", name],
            env=self.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.strip()

    def probe_succeeds(self, name: str) -> bool:
        return self.probe(name)[0] == 0

    def wait_ready(self) -> "Process":
        def ready() -> bool:
            assert self.popen.poll() is None, f"the worker ended while starting:\n{self.output}"
            return self.probe_succeeds("ready")

        until(ready, "the worker is ready")
        return self

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def wait(self, within: float = 30.0) -> int:
        return self.popen.wait(within)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(10)

    def report(self) -> str:
        tail = "\n".join(self.output.splitlines()[-TAIL:])
        state = f"exit status {self.popen.poll()}, {self.probe('live')[1]}, {self.probe('ready')[1]}"
        return f"{self.log.name}: {state}\n{tail}"


@dataclass(frozen=True)
class SentTask:
    """A task that was sent, and what became of it."""

    id: str
    server: Server

    def meta(self) -> dict[str, Any]:
        """The task's entry in the result backend; empty while there is none, or the backend does not answer."""
        from celery import Celery
        from redis.exceptions import ConnectionError as RedisConnectionError

        try:
            with contextlib.closing(self.server.client(self.server.results_url)) as client:
                raw = client.get(f"celery-task-meta-{self.id}")
        except (RedisConnectionError, OSError):
            return {}
        return dict(Celery("reader", backend=self.server.results_url).backend.decode_result(raw)) if raw else {}

    @property
    def status(self) -> str:
        return str(self.meta().get("status", "PENDING"))

    def ready(self) -> bool:
        return self.status in ("SUCCESS", "FAILURE", "REVOKED")

    def get(self, within: float = TIMEOUT) -> object:
        """Wait for the task's result, or raise its error."""
        until(self.ready, f"task {self.id} has a result", within)
        result = self.meta()["result"]
        if isinstance(result, BaseException):
            raise result
        return result


@dataclass
class Fleet:
    """Starts runtimes with one server as their broker, and sends tasks to them."""

    server: Server
    folder: Path
    started: list[Process] = field(default_factory=list)

    def environ(self, **more: str) -> dict[str, str]:
        number = len(self.started)
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("CELERY_", "ALPHASWARM_", "OTEL_"))
        }
        return {
            **inherited,
            **BASE,
            "CELERY_BROKER_URL": self.server.url,
            "CELERY_RESULT_BACKEND": self.server.results_url,
            "SAMPLE_JOURNAL": self.server.journal_url,
            "ALPHASWARM_STATE_DIR": str(self.folder / f"state-{number}"),
            **more,
        }

    def start(self, *arguments: str, **more: str) -> Process:
        return self.start_by((), *arguments, **more)

    def start_by(self, prefix: Sequence[str], *arguments: str, **more: str) -> Process:
        """Start it through another command, which changes its user."""
        environ = self.environ(**more)
        log = self.folder / f"log-{len(self.started)}.txt"
        with log.open("wb") as sink:
            popen = subprocess.Popen(
                [*prefix, sys.executable, "-m", "alphaswarm_runtime", *arguments],
                env=environ, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        process = Process(popen, log, environ)
        self.started.append(process)
        return process

    def worker(self, queue: str = "default", concurrency: str = "1", **more: str) -> Process:
        return self.start("worker", "--queues", queue, "--concurrency", concurrency, **more).wait_ready()

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alphaswarm_runtime", *arguments],
            env=self.environ(**more), capture_output=True, text=True, check=False, timeout=60, cwd=self.folder,
        )  # fmt: skip

    def send(self, task: str, *args: object, queue: str = "default", **options: object) -> SentTask:
        return self.sender()(task, *args, queue=queue, **options)

    def sender(self) -> Callable[..., SentTask]:
        """Make a function that sends tasks over one connection; the first takes longer than the others."""
        from celery import Celery

        app: App = Celery("sender", broker=self.server.url)
        app.conf.broker_transport_options = {"max_retries": 3}

        def send(task: str, *args: object, queue: str = "default", **options: object) -> SentTask:
            return SentTask(app.send_task(f"sample.{task}", args=args, queue=queue, **options).id, self.server)

        return send

    def control(self) -> Any:  # noqa: ANN401 celery.app.control.Control
        """Celery's remote control of the workers."""
        from celery import Celery

        return Celery("controller", broker=self.server.url).control

    def send_old(self, task: str, *args: object, **options: object) -> SentTask:
        """Send a message of Celery's protocol 1."""
        from celery import Celery

        app: App = Celery("old sender", broker=self.server.url, set_as_current=False)
        app.conf.task_protocol = 1
        return SentTask(app.send_task(f"sample.{task}", args=args, queue="default", **options).id, self.server)

    def report(self) -> str:
        """Where everything is, for a reader of a failed test's output."""
        try:
            broker = "\n".join(f"{key}: {value}" for key, value in self.server.messages().items())
        except Exception as error:  # noqa: BLE001  the report must come, whatever the test did to the server
            broker = f"does not answer: {error}"
        return "\n\n".join((f"broker\n{broker}", *(process.report() for process in self.started)))
