"""What readers find and rules judge: facts and findings, each with the file and line it stands on.

Durations are seconds. `certain` is false where a text came from a variable without a default, from a template that
could not be rendered, from a name computed at run time, or from a convention (a wrapper's option): a rule that uses
such a fact says so, or makes no finding of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

# Stands in a text for the part that cannot be known from the files. No file that is text has this character.
UNKNOWN = "\0"
DEFAULT_QUEUE = "celery"  # Celery's task_default_queue


@dataclass(frozen=True, order=True)
class Location:
    """A line of a file; `path` is relative to the checkout's root, with slashes."""

    path: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, order=True)
class Surface:
    """One deployment that stands by itself: a Compose file with its overrides, a Kustomize tree, a chart, a Procfile.

    Two surfaces are alternatives: what is drained twice on two of them is drained once.
    """

    kind: str
    name: str
    whole: bool = True  # it runs all there is, so what it lacks is missing
    aside: bool = False  # below tests/, docs/ or examples/: it drains, and nothing is found on it


@dataclass(frozen=True)
class Invocation:
    """One worker or beat that a command line starts. `queues` is None without -Q, which is Celery's default."""

    kind: str  # worker or beat
    queues: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    is_open: bool = False  # it drains queues that cannot be read
    app: str | None = None
    broker: str | None = None
    default_queue: str | None = None
    concurrency: int | None = None
    time_limit: float | None = None
    embedded_beat: bool = False
    scheduler: str | None = None
    certain: bool = True
    maybe: bool = False  # a script starts it under a condition that is not known


@dataclass(frozen=True)
class Unit:
    """What runs commands on a surface: a service, a container, a program, a unit, a stage."""

    surface: Surface
    name: str
    command: str | tuple[str, ...]  # a shell's text, or words
    location: Location
    image: str | None = None
    images: frozenset[str] = frozenset()  # all normalised names of the image; units with a common one run the same
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float | None = None
    grace_is_default: bool = False
    replicas: int = 1
    namespace: str | None = None
    profiles: frozenset[str] = frozenset()  # Compose's; empty is always on
    folder: str = ""  # where its scripts are looked for first
    certain: bool = True


@dataclass(frozen=True)
class Drain:
    """One worker: which queues it takes tasks from, where it runs, and its profile."""

    unit: Unit
    invocation: Invocation
    time_limit: float | None = None
    soft_shutdown: float | None = None
    visibility_timeout: float | None = None
    location: Location = Location("")

    @property
    def certain(self) -> bool:
        """Whether all of it was read, and nothing guessed."""
        return self.unit.certain and self.invocation.certain

    @property
    def surface(self) -> Surface:
        """The surface of its unit."""
        return self.unit.surface

    @property
    def explicit(self) -> tuple[str, ...]:
        """The queues that it names."""
        return self.invocation.queues or ()

    @property
    def image(self) -> str:
        """The image for a message; where none is said, the unit."""
        return self.unit.image or self.unit.name


@dataclass(frozen=True)
class Beat:
    """One scheduler: `celery beat`, or a worker with -B."""

    unit: Unit
    invocation: Invocation
    location: Location


@dataclass(frozen=True)
class Scaler:
    """A KEDA ScaledObject or ScaledJob: the Redis lists or broker queues that its triggers count."""

    surface: Surface
    name: str
    target: str | None
    lists: tuple[str, ...]
    location: Location
    kind: str = "redis"
    counts_more: bool = False  # a trigger that is no list: a hash of running tasks, Prometheus, CPU
    maximum: int | None = None
    certain: bool = True


@dataclass(frozen=True)
class Route:
    """A place in the code that sends tasks to a queue."""

    queue: str
    source: str  # task_routes, decorator, apply_async...
    location: Location
    certain: bool = True
    task: str | None = None  # the name or pattern, where it is said


@dataclass(frozen=True)
class Declared:
    """A queue of task_queues. `custom`: it has an exchange or key of its own, so a message may come otherwise."""

    queue: str
    location: Location
    custom: bool = False
    max_priority: bool = False


@dataclass(frozen=True)
class Setting:
    """A setting of Celery by its lower-case name, in whatever namespace it was found; a value may hold UNKNOWN."""

    name: str
    value: Any
    location: Location


@dataclass(frozen=True)
class Task:
    """A task's own options."""

    name: str
    location: Location
    queue: str | None = None
    time_limit: float | None = None
    acks_late: bool | None = None


@dataclass(frozen=True)
class Delay:
    """A countdown, or an eta of now plus a number, that stands in the code."""

    seconds: float
    location: Location
    queue: str | None = None


@dataclass(frozen=True)
class Prioritised:
    """A place that sends with a priority; `queue` is None where it is not said."""

    priority: int
    location: Location
    queue: str | None = None


@dataclass(frozen=True)
class Opaque:
    """A place that sends to a queue whose name is computed."""

    source: str
    location: Location


@dataclass(frozen=True)
class Started:
    """A worker that the code starts itself: the words of a command line, as `worker_main` takes them."""

    words: tuple[str, ...]
    location: Location


@dataclass(frozen=True)
class Code:
    """What the Python files say."""

    routes: tuple[Route, ...] = ()
    declared: tuple[Declared, ...] = ()
    settings: tuple[Setting, ...] = ()
    tasks: tuple[Task, ...] = ()
    delays: tuple[Delay, ...] = ()
    priorities: tuple[Prioritised, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    started: tuple[Started, ...] = ()
    strings: frozenset[str] = frozenset()  # texts that stand anywhere but in a declaration
    has_app: bool = False


@dataclass(frozen=True)
class Unreadable:
    """A file that matters and could not be read."""

    location: Location
    reason: str


@dataclass(frozen=True)
class Facts:
    """All that was read of a checkout."""

    code: Code = Code()
    drains: tuple[Drain, ...] = ()
    beats: tuple[Beat, ...] = ()
    scalers: tuple[Scaler, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    files: int = 0
    read: int = 0


class Severity(Enum):
    """How bad a finding is; the values are SARIF's levels."""

    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """A number to compare by."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, where, how it is known, why it matters and what to do."""

    rule: str
    severity: Severity
    location: Location
    message: str
    evidence: tuple[str, ...]
    why: str
    what_to_do: str
    queue: str | None = None
    certain: bool = True
    related: tuple[Location, ...] = ()
