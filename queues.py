"""The catalogue: which queue runs on which image, and how it scales.

Everything else is derived from these rows: Deployments, scalers, network policies, Kustomize tree, runtime catalogue.
A new queue is one row of QUEUES. A row has exactly one image and names are unique, so that "drained by both" cannot
be written down; HEAVY_QUEUES, and with it everything that asks which image drains a queue, is derived from the rows.

Units: durations are `timedelta` (whole seconds), replicas are pods, concurrency is tasks at once in one pod.
A row is checked in `__post_init__`, so one that cannot work fails at import, here and wherever a stack tunes it.
Imports nothing but the standard library: generators, policies and the images' build read it too.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cached_property


class CatalogueError(ValueError):
    """A row, or a stack's tuning of one, cannot work; the message names every broken constraint, with the numbers."""


class ScaleDown(Enum):
    """Whether the autoscaler may end pods while the queue still has work."""

    ALLOWED = "Allowed"
    DISABLED = "Disabled"  # only the step to zero, when nothing waits or runs


class Priority(Enum):
    """Who gets a node first; the value is the PriorityClass' number."""

    LATENCY = 100_000  # somebody waits for the answer within a second
    STANDARD = 10_000
    BATCH = 1_000  # hours long: a few minutes of waiting for a node change nothing


class Rollouts(Enum):
    """When a stack's update may replace the pods of a queue with sessions."""

    OUTSIDE = "outside"
    ANYTIME = "anytime"


class AlwaysOn(Enum):
    """Where a queue may never be scaled to zero."""

    NOWHERE = "nowhere"
    PRODUCTION = "production"
    EVERYWHERE = "everywhere"


# kombu's: a list's name is the queue's, or with these between, the queue's and a step. A sender that sets no steps has
# these.
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (0, 3, 6, 9)

# A pod's name is the Deployment's with "-" + replica set hash (10) + "-" + 5 more, and must stay a DNS label of 63.
DEPLOYMENT_NAME_MAX = 63 - 17
QUEUE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
ZERO = timedelta(0)


def seconds(count: int) -> timedelta:
    """Return a duration of so many seconds."""
    return timedelta(seconds=count)


def minutes(count: int) -> timedelta:
    """Return a duration of so many minutes."""
    return timedelta(minutes=count)


def hours(count: int) -> timedelta:
    """Return a duration of so many hours."""
    return timedelta(hours=count)


DEFAULT_POLLING_INTERVAL = seconds(15)
DEFAULT_COOLDOWN_PERIOD = minutes(5)
DEFAULT_SESSION_LEAD = minutes(15)
SESSION_MARGIN_MAX = hours(12)  # before a session and after it; more would reach into the next one


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """More pods while an exchange has a session. A floor of the scaler's formula: work beyond it gets its pods too."""

    calendar: str  # market identifier code of the exchange, for instance XNYS
    min_replicas: int
    before: timedelta = DEFAULT_SESSION_LEAD  # how long before a session opens: time to start the pods
    after: timedelta = ZERO  # how long after it closes
    rollouts: Rollouts = Rollouts.OUTSIDE


@dataclass(frozen=True)
class TimeConstraint:
    """`longer` must exceed the first of `than` that is set, or else `otherwise` happens.

    The names are those of Queue's fields. The images' runtime gets these as data, so they are written once.
    """

    longer: str
    than: tuple[str, ...]
    otherwise: str

    def broken_by(self, times: Mapping[str, timedelta]) -> str | None:
        """Return the error when `times`, by field name, break the constraint."""
        bound = next(name for name in self.than if name in times)
        if times[self.longer] > times[bound]:
            return None
        return (
            f"{_label(self.longer)} ({_format_seconds(times[self.longer])}) must exceed the {_label(bound)} "
            f"({_format_seconds(times[bound])}), or {self.otherwise}"
        )


TIME_CONSTRAINTS = (
    TimeConstraint("grace_period", ("soft_shutdown", "time_limit"), "a rollout kills a running task"),
    TimeConstraint("visibility_timeout", ("grace_period",), "a running task is handed out twice"),
    TimeConstraint("visibility_timeout", ("time_limit",), "a running task is handed out twice"),
)


def _label(field: str) -> str:
    """Return a field's name for a message: `grace_period` is "grace period"."""
    return field.replace("_", " ")


def _format_seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"


@dataclass(frozen=True)
class Resources:
    """The requests or the limits of a container, as Kubernetes quantities."""

    cpu: str
    memory: str


@dataclass(frozen=True, kw_only=True)
class Image:
    """One container image, and the resources of each of its pods."""

    name: str  # also the ECR repository and the Kustomize base
    target: str  # stage of the root Dockerfile
    extras: tuple[str, ...]
    directories: tuple[str, ...]
    build_packages: tuple[str, ...]  # in build stages only
    concurrency: int  # where one process drains all the image's queues
    requests: Resources
    limits: Resources
    platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64")
    uid: int = 65532

    @property
    def standalone_folder(self) -> str:
        """The folder under images/ that can move to a repository of its own."""
        return self.name.replace("-", "_")


BASE_EXTRAS = ("otel", "cli", "iceberg", "entity-graph", "dagster-alphaswarm", "compute-dask", "compute-ray")

WORKER = Image(
    name="alphaswarm-worker",
    target="worker",
    extras=BASE_EXTRAS,
    directories=("/app/data",),
    build_packages=(),
    concurrency=4,
    requests=Resources(cpu="500m", memory="1Gi"),
    limits=Resources(cpu="4", memory="8Gi"),
)
EXECUTOR = Image(
    name="alphaswarm-executor",
    target="executor",
    extras=(*BASE_EXTRAS, "ml", "ml-torch", "ml-forecast", "ml-anomaly", "portfolio"),
    directories=("/app/data", "/app/models"),
    build_packages=("gfortran", "linux-headers"),
    concurrency=2,
    requests=Resources(cpu="1", memory="4Gi"),
    limits=Resources(cpu="8", memory="16Gi"),
)
IMAGES = (WORKER, EXECUTOR)


@dataclass(frozen=True)
class Queue:
    """One Celery queue: who drains it, how many pods it may have, and how long its tasks may take.

    Raises:
        CatalogueError: the row breaks constraints; all of them are named at once.
    """

    name: str
    image: Image
    description: str
    replicas: tuple[int, int]  # least and most pods
    concurrency: int
    time_limit: timedelta  # Celery's hard time limit
    grace_period: timedelta  # terminationGracePeriodSeconds; a preStop hook would count inside it
    visibility_timeout: timedelta  # when Redis hands an unacknowledged task to another worker
    soft_shutdown: timedelta | None = None  # Celery re-queues what still runs this long after SIGTERM
    polling_interval: timedelta | None = DEFAULT_POLLING_INTERVAL  # how often KEDA looks while there are no pods
    cooldown_period: timedelta | None = (
        DEFAULT_COOLDOWN_PERIOD  # how long nothing waits or runs before the last pod goes
    )
    scale_down: ScaleDown = ScaleDown.ALLOWED
    priority: Priority = Priority.STANDARD
    always_on: AlwaysOn = AlwaysOn.NOWHERE
    gpus: int = 0  # per pod
    cancel_on_connection_loss: bool = True  # end a run whose broker connection dropped: another worker gets it again
    sessions: Sessions | None = None
    target_wait: timedelta | None = None  # pods for that wait, by measured run times, in place of a slot for every task

    def __post_init__(self) -> None:
        if errors := list(self._errors()):
            raise CatalogueError(f"queue {self.name!r}: " + "; ".join(errors))

    @property
    def min_replicas(self) -> int:
        """The least number of pods."""
        return self.replicas[0]

    @property
    def max_replicas(self) -> int:
        """The greatest number of pods."""
        return self.replicas[1]

    @property
    def deployment(self) -> str:
        """The name of the queue's Deployment: a DNS label, so lower case, and with dashes for dots and underscores."""
        return f"{self.image.name}-{re.sub('[_.]', '-', self.name.lower())}"

    @property
    def waiting_keys(self) -> Mapping[int, str]:
        """The Redis lists of waiting tasks, by priority step: kombu's names, to which any sender writes."""
        return {step: f"{self.name}{PRIORITY_SEPARATOR}{step}" if step else self.name for step in PRIORITY_STEPS}

    @property
    def running_key(self) -> str:
        """The Redis hash with one field for each running task, which the runtime in the images keeps."""
        return f"unacked:{{{self.name}}}"

    @property
    def floor_key(self) -> str:
        """The Redis list with one item for each pod that a session asks for; beat keeps it."""
        return f"floor:{{{self.name}}}"

    @property
    def share_key(self) -> str:
        """The Redis list with one item for each per cent of a slot that a task needs; beat keeps it (target_wait)."""
        return f"share:{{{self.name}}}"

    @property
    def times(self) -> Mapping[str, timedelta]:
        """The durations that are set, by the name of their field."""
        durations = {
            "time_limit": self.time_limit,
            "grace_period": self.grace_period,
            "visibility_timeout": self.visibility_timeout,
            "soft_shutdown": self.soft_shutdown,
            "polling_interval": self.polling_interval,
            "cooldown_period": self.cooldown_period,
            "target_wait": self.target_wait,
        }
        return {name: value for name, value in durations.items() if value is not None}

    def _errors(self) -> Iterator[str]:
        yield from self._name_errors()
        yield from self._replica_errors()
        yield from self._time_errors()
        yield from self._session_errors()

    def _name_errors(self) -> Iterator[str]:
        if not QUEUE_NAME.fullmatch(self.name):
            yield "the name may have letters, digits and, not first or last, underscores, dots and dashes"
        if len(self.deployment) > DEPLOYMENT_NAME_MAX:
            available = DEPLOYMENT_NAME_MAX - len(self.image.name) - 1
            yield f"the name has {len(self.name)} characters, and {available} fit into the names of its pods"

    def _replica_errors(self) -> Iterator[str]:
        minimum, maximum = self.replicas
        if not 0 <= minimum <= maximum:
            yield f"replicas must satisfy 0 <= min <= max, got min {minimum} and max {maximum}"
        if maximum < 1:
            yield f"max replicas must be at least 1, got {maximum}"
        if self.always_on is AlwaysOn.EVERYWHERE and minimum < 1:
            yield f"it never scales to zero, so min replicas must be at least 1, got {minimum}"
        if self.concurrency < 1:
            yield f"concurrency must be at least 1, got {self.concurrency}"
        if self.scale_down is ScaleDown.DISABLED and self.concurrency > 1:
            yield f"a pod of runs that must not be interrupted takes one at a time, got concurrency {self.concurrency}"
        if self.gpus < 0:
            yield f"gpus must not be negative, got {self.gpus}"

    def _time_errors(self) -> Iterator[str]:
        for name, value in self.times.items():
            if value <= ZERO or value % seconds(1):
                yield f"{_label(name)} must be a positive number of whole seconds, got {value.total_seconds():g} s"
        for name in ("polling_interval", "cooldown_period"):
            if self.min_replicas == 0 and name not in self.times:
                yield f"{_label(name)} is needed because min replicas is 0"
        yield from filter(None, (constraint.broken_by(self.times) for constraint in TIME_CONSTRAINTS))

    def _session_errors(self) -> Iterator[str]:
        if self.sessions is None:
            return
        least = self.sessions.min_replicas
        if not self.min_replicas < least <= self.max_replicas:
            yield (
                f"min replicas of sessions must exceed min replicas ({self.min_replicas}) and be at most max replicas "
                f"({self.max_replicas}), got {least}"
            )
        for name, value in (("before", self.sessions.before), ("after", self.sessions.after)):
            if not ZERO <= value <= SESSION_MARGIN_MAX or value % seconds(1):
                yield (
                    f"{name} of sessions must be whole seconds from 0 to {_format_seconds(SESSION_MARGIN_MAX)}, got "
                    f"{_format_seconds(value)}"
                )


@dataclass(frozen=True)
class Catalogue:
    """All queues.

    Raises:
        CatalogueError: a name is not unique, two queues have the same Deployment, or an image drains no queue.
    """

    queues: tuple[Queue, ...]

    def __post_init__(self) -> None:
        if twice := _duplicates(queue.name for queue in self.queues):
            raise CatalogueError(f"each queue stands once, on one image; these stand more often: {', '.join(twice)}")
        if idle := [image.name for image in IMAGES if not self.of(image)]:
            raise CatalogueError(f"each image drains at least one queue; these drain none: {', '.join(idle)}")
        if shared := _duplicates(queue.deployment for queue in self.queues):
            names = sorted(queue.name for queue in self.queues if queue.deployment in shared)
            raise CatalogueError(
                f"each queue has a Deployment of its own; these would share {', '.join(shared)}: {', '.join(names)}"
            )

    @cached_property
    def names(self) -> frozenset[str]:
        """Every queue's name."""
        return frozenset(queue.name for queue in self.queues)

    @cached_property
    def heavy_queues(self) -> frozenset[str]:
        """The executor's queues; the worker's are all others."""
        return frozenset(queue.name for queue in self.queues if queue.image is EXECUTOR)

    def of(self, image: Image) -> tuple[Queue, ...]:
        """Return the queues that `image` drains, in the catalogue's order."""
        return tuple(queue for queue in self.queues if self.image_of(queue.name) is image)

    def image_of(self, queue: str) -> Image:
        """Return the image that drains the queue: the executor if it is a heavy one, else the worker.

        Raises:
            KeyError: there is no such queue.
        """
        if queue not in self.names:
            raise KeyError(queue)
        return EXECUTOR if queue in self.heavy_queues else WORKER

    def build_arguments(self, image: Image) -> Mapping[str, str]:
        """Return an image's build arguments, by name."""
        arguments = {
            "QUEUES": ",".join(queue.name for queue in self.of(image)),
            "CONCURRENCY": str(image.concurrency),
            "EXTRAS": " ".join(image.extras),
            "DIRECTORIES": " ".join(image.directories),
        }
        return {f"{image.target.upper()}_{argument}": text for argument, text in arguments.items()}

    @property
    def build_packages(self) -> tuple[str, ...]:
        """The packages of every image's build stages, each once: both are compiled in one stage."""
        return tuple(dict.fromkeys(package for image in IMAGES for package in image.build_packages))

    def queue(self, name: str) -> Queue:
        """Return the queue of that name.

        Raises:
            KeyError: there is none.
        """
        return {queue.name: queue for queue in self.queues}[name]


def _duplicates(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


# Starting values, to be tuned by measurement. Every grace period leaves a task that just began its whole limit.
QUEUES = Catalogue(
    (
        Queue(
            "default", WORKER, "bookkeeping, lineage, callbacks",
            replicas=(0, 10), concurrency=4,
            time_limit=minutes(10), grace_period=minutes(11), visibility_timeout=minutes(30),
            always_on=AlwaysOn.PRODUCTION,
        ),
        Queue(
            "paper", WORKER, "sub-second paper-trading loop",
            replicas=(2, 6), concurrency=4,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
            polling_interval=None, cooldown_period=None, priority=Priority.LATENCY, always_on=AlwaysOn.EVERYWHERE,
        ),
        Queue(
            "terraform", WORKER, "TerraformRuntime apply and destroy",
            replicas=(0, 3), concurrency=1,
            time_limit=hours(2), grace_period=seconds(7500), visibility_timeout=hours(3),
            scale_down=ScaleDown.DISABLED,
            cancel_on_connection_loss=False,  # half an apply is worse than a second one, which the state lock stops
        ),
        Queue(
            "ingestion", WORKER, "connector pulls: IO-bound, long-lived",
            replicas=(1, 6), concurrency=4,
            time_limit=hours(7), grace_period=minutes(15), visibility_timeout=hours(8),
            soft_shutdown=minutes(10),  # a pull resumes where it was: re-queue it rather than wait seven hours
            polling_interval=None, cooldown_period=None, always_on=AlwaysOn.EVERYWHERE,
        ),
        Queue(
            "workflows", WORKER, "WorkflowRuntime orchestration",
            replicas=(0, 6), concurrency=4,
            time_limit=minutes(30), grace_period=seconds(1900), visibility_timeout=hours(1),
        ),
        Queue(
            "backtest", EXECUTOR, "vbt-pro, event-driven and Lean engine runs",
            replicas=(0, 20), concurrency=2,
            time_limit=hours(2), grace_period=seconds(7300), visibility_timeout=minutes(150),
            priority=Priority.BATCH,
        ),
        Queue(
            "training", EXECUTOR, "RL rollouts and finetune jobs",
            replicas=(0, 1),  # a stack's gpu.count says how many GPUs there are to have
            concurrency=1,
            time_limit=hours(12), grace_period=seconds(2100), visibility_timeout=hours(14),
            soft_shutdown=minutes(30),  # time to write a checkpoint; the next pod goes on from it
            polling_interval=seconds(30), cooldown_period=minutes(10),
            scale_down=ScaleDown.DISABLED, priority=Priority.BATCH, gpus=1,
        ),
        Queue(
            "ml", EXECUTOR, "ML pipelines, predictor refresh",
            replicas=(0, 8), concurrency=2,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
            priority=Priority.BATCH,
        ),
        Queue(
            "agents", EXECUTOR, "CrewAI and LangGraph agent runs",
            replicas=(0, 12), concurrency=2,
            time_limit=minutes(30), grace_period=seconds(1900), visibility_timeout=hours(1),
            polling_interval=seconds(5),  # bursts: somebody waits for the agent's answer
        ),
        Queue(
            "factors", EXECUTOR, "factor-zoo builds, alpha tests",
            replicas=(0, 8), concurrency=2,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
            priority=Priority.BATCH,
        ),
        Queue(
            "rag", EXECUTOR, "RAG ingest, embedding refresh",
            replicas=(0, 6), concurrency=2,
            time_limit=hours(1), grace_period=seconds(3700), visibility_timeout=minutes(90),
            priority=Priority.BATCH,
        ),
    )
)  # fmt: skip

HEAVY_QUEUES = QUEUES.heavy_queues
WORKER_QUEUES = QUEUES.names - HEAVY_QUEUES
