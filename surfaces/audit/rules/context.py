"""What rules ask of the facts: who drains a queue, whether that is all, which images are the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from surfaces.audit.model import DEFAULT_QUEUE, UNKNOWN, Drain, Facts, Location, Route, Scaler, Surface, Task, Unit
from surfaces.audit.python_code import setting_values

# Surfaces that deploy, each container with an image. A Makefile or a script is started by hand, or by one of these.
CONTAINERS = frozenset({"compose", "kubernetes", "kustomize", "helm", "terraform"})
MACHINES = frozenset({"procfile", "supervisor", "systemd"})
CLUSTERS = frozenset({"kubernetes", "kustomize", "helm"})


@dataclass(frozen=True)
class Context:
    """The facts, and what follows from them."""

    facts: Facts

    @cached_property
    def default_queues(self) -> frozenset[str]:
        """What task_default_queue is, or may be; empty where it is set and not known."""
        settings = [setting for setting in self.facts.code.settings if setting.name == "task_default_queue"]
        known = {str(s.value) for s in settings if isinstance(s.value, str) and UNKNOWN not in s.value and s.value}
        if settings:
            return frozenset(known)
        return frozenset({DEFAULT_QUEUE})

    @cached_property
    def declared(self) -> frozenset[str]:
        """The queues of task_queues."""
        return frozenset(declared.queue for declared in self.facts.code.declared)

    @cached_property
    def drains(self) -> tuple[Drain, ...]:
        """Every worker."""
        return self.facts.drains

    @cached_property
    def deployed(self) -> tuple[Drain, ...]:
        """The workers of surfaces that deploy, which surely run."""
        kinds = CONTAINERS | MACHINES | {"dockerfile"}
        return tuple(
            drain
            for drain in self.drains
            if drain.surface.kind in kinds and not drain.surface.aside and not drain.invocation.maybe
        )

    def queues(self, drain: Drain) -> frozenset[str]:
        """Return what a worker drains: -Q; without it all of task_queues, or else the default queue, as Celery does."""
        invocation = drain.invocation
        if invocation.queues is not None:
            return frozenset(invocation.queues)
        if invocation.default_queue:
            return frozenset({invocation.default_queue})
        return (self.declared or self.default_queues) - set(invocation.excluded)

    def is_open(self, drain: Drain) -> bool:
        """Whether a worker may drain queues that are not known."""
        if drain.invocation.is_open:
            return True
        unread = any(opaque.source == "task_queues" for opaque in self.facts.code.opaque)
        return drain.invocation.queues is None and (unread or not self.default_queues)

    @cached_property
    def some_open(self) -> bool:
        """Whether any worker may."""
        return any(self.is_open(drain) for drain in self.drains)

    @cached_property
    def drained(self) -> dict[str, list[Drain]]:
        """The workers by queue."""
        found: dict[str, list[Drain]] = {}
        for drain in self.drains:
            for queue in sorted(self.queues(drain)):
                found.setdefault(queue, []).append(drain)
        return found

    @cached_property
    def routed(self) -> dict[str, list[Route]]:
        """The places that send, by queue."""
        found: dict[str, list[Route]] = {}
        for route in self.facts.code.routes:
            found.setdefault(route.queue, []).append(route)
        return found

    @cached_property
    def by_surface(self) -> dict[Surface, list[Drain]]:
        """The deployed workers by surface."""
        found: dict[Surface, list[Drain]] = {}
        for drain in self.deployed:
            found.setdefault(drain.surface, []).append(drain)
        return found

    def number(self, name: str) -> tuple[float, Location] | None:
        """Return a setting that is a number; the least, where it is set several times."""
        found = [
            (float(value), location)
            for value, location in setting_values(self.facts.code, name)
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        return min(found) if found else None

    @cached_property
    def acks_late(self) -> bool | None:
        """Whether tasks are acknowledged late. None where it is not known, also for want of an application."""
        code = self.facts.code
        settings = [setting.value for setting in code.settings if setting.name == "task_acks_late"]
        if True in settings or any(task.acks_late for task in code.tasks):
            return True
        if any(value is not False for value in settings) or not code.has_app:
            return None
        return False

    @cached_property
    def broker(self) -> str | None:
        """The broker's kind, redis or amqp or sqs; None where none or several are known."""
        urls = [value for value, _ in setting_values(self.facts.code, "broker_url") if isinstance(value, str)]
        for drain in self.drains:
            urls.extend(filter(None, [drain.invocation.broker]))
            urls.extend(value for name, value in drain.unit.environment.items() if name.endswith("BROKER_URL"))
        kinds = {_broker_kind(url) for url in urls} - {None}
        return kinds.pop() if len(kinds) == 1 else None

    def tasks_on(self, queue: str) -> Iterator[Task]:
        """Yield the tasks that go to a queue by their own option or a route."""
        routes = self.routed.get(queue, [])
        for task in self.facts.code.tasks:
            if task.queue == queue or (task.queue is None and any(_is_routed(route, task) for route in routes)):
                yield task


def _broker_kind(url: str) -> str | None:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    kinds = {
        "redis": "redis",
        "rediss": "redis",
        "sentinel": "redis",
        "amqp": "amqp",
        "amqps": "amqp",
        "pyamqp": "amqp",
    }
    return kinds.get(scheme, "sqs" if scheme == "sqs" else None)


def _is_routed(route: Route, task: Task) -> bool:
    if route.task is None or route.source != "task_routes":
        return False
    module = task.location.path.removesuffix(".py").replace("/", ".")
    full = task.name if "." in task.name else f"{module}.{task.name}"
    return fnmatchcase(full, route.task) or fnmatchcase(full, f"*.{route.task}")


def same_images(units: list[Unit]) -> list[list[Unit]]:
    """Return units in groups of one image. Units have the same where they share a name of it, or know none."""
    groups: list[tuple[set[str], list[Unit]]] = []
    for unit in units:
        names = set(unit.images)
        together = [unit]
        apart = []
        for known, members in groups:
            if known & names or not names or not known:
                names |= known
                together = [*members, *together]
            else:
                apart.append((known, members))
        groups = [*apart, (names, together)]
    return [members for _, members in groups]


# What many applications call their queue, each on a broker of its own.
COMMON = frozenset({DEFAULT_QUEUE, "default"})


def may_meet(one: Drain, other: Drain, queue: str) -> bool:
    """Whether two workers of a surface run at once and take from one queue: of one broker, or of one application."""
    first, second = one.unit, other.unit
    if first.namespace and second.namespace and first.namespace != second.namespace:
        return False
    if first.profiles and second.profiles and not first.profiles & second.profiles:
        return False
    brokers = [drain.invocation.broker for drain in (one, other)]
    if all(brokers):
        return brokers[0] == brokers[1]
    apps = [drain.invocation.app for drain in (one, other)]
    return queue not in COMMON or not all(apps) or apps[0] == apps[1]


def target_of(scaler: Scaler, drains: tuple[Drain, ...]) -> list[Drain]:
    """Return the workers that an autoscaler scales."""
    return [
        drain
        for drain in drains
        if drain.surface == scaler.surface and scaler.target and drain.unit.name.partition("/")[0] == scaler.target
    ]
