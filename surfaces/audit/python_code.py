"""Routes, queues, settings, tasks, delays and priorities that Python files state, from their syntax trees.

A setting is known by its name wherever it stands: a module's or a class' variable with any prefix, an attribute or a
key of `app.conf`, a keyword of `Celery(...)` or `conf.update(...)`, a key of a dict.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from surfaces.audit.constants import (
    Evaluator,
    Module,
    QueueValue,
    Value,
    Word,
    assigned,
    called_name,
    module_of,
    statements,
)
from surfaces.audit.model import (
    UNKNOWN,
    Code,
    Declared,
    Delay,
    Location,
    Opaque,
    Prioritised,
    Route,
    Setting,
    Started,
    Task,
    Unreadable,
)
from surfaces.audit.texts import word_set

# A file without any of these says nothing of Celery; parsing is what costs time.
MARKS = (b"celery", b"Celery", b"CELERY", b"apply_async", b"kombu", b"shared_task", b"send_task", b"task_routes")
MARKS_TOGETHER = (b".task(", b"queue")

_NEW = (
    "task_routes", "task_queues", "task_default_queue", "task_acks_late", "task_time_limit", "task_queue_max_priority",
    "task_default_priority", "worker_soft_shutdown_timeout", "broker_transport_options", "broker_url", "beat_schedule",
)  # fmt: skip
# Celery's names before 4.0, and today's
_OLD = dict(
    pair.split(":")
    for pair in word_set(
        "celery_routes:task_routes celery_queues:task_queues celery_default_queue:task_default_queue "
        "celery_acks_late:task_acks_late celeryd_task_time_limit:task_time_limit celerybeat_schedule:beat_schedule"
    )
)
_PLAIN = frozenset({"broker_url", "beat_schedule"})  # too common as a dict's key or a keyword of anything else
# Not `s` and `si`: what they are given by name are the task's own arguments.
_SENDS = frozenset({"apply_async", "set", "signature", "subtask", "send_task", "retry"})
_TASKS = frozenset({"task", "shared_task", "periodic_task", "task_cls"})


def matters(text: bytes) -> bool:
    """Whether a Python file may say something of Celery."""
    return any(mark in text for mark in MARKS) or all(mark in text for mark in MARKS_TOGETHER)


def setting_name(name: str) -> str | None:
    """Return Celery's lower-case name of a setting in whatever namespace: `MYAPP_TASK_ROUTES` is task_routes."""
    lower = name.lower()
    if lower in _OLD:
        return _OLD[lower]
    return next((new for new in _NEW if lower == new or lower.endswith(f"_{new}")), None)


def read(paths: list[str], text_of: Callable[[str], bytes], all_paths: list[str]) -> tuple[Code, list[Unreadable]]:
    """Return what the files of `paths` say; names are looked up in `all_paths` too. What is no Python is told."""
    unreadable: list[Unreadable] = []
    modules: dict[str, Module | None] = {}

    def load(path: str) -> Module | None:
        if path not in modules:
            try:
                modules[path] = module_of(path, ast.parse(text_of(path)))
            except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
                modules[path] = None
                line = getattr(error, "lineno", None) or 1
                if path in paths and "{" not in path and b"{%" not in text_of(path):  # else it is a template
                    reason = getattr(error, "msg", None) or str(error) or type(error).__name__
                    unreadable.append(Unreadable(Location(path, line), f"no Python 3: {reason}"))
        return modules[path]

    evaluator = Evaluator(all_paths, load)
    found = _Found()
    for path in paths:
        if module := load(path):
            _Reader(module, evaluator, found).read()
    return found.code(), unreadable


@dataclass
class _Found:
    """What was found so far, in all files."""

    routes: list[Route] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    priorities: list[Prioritised] = field(default_factory=list)
    opaque: list[Opaque] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    routers: list[Opaque] = field(default_factory=list)  # named, and to be found among the functions
    router_found: bool = False
    strings: set[str] = field(default_factory=set)
    has_app: bool = False

    def code(self) -> Code:
        """Return it frozen, each place once."""
        opaque = self.opaque if self.router_found else [*self.opaque, *self.routers]
        known = {task.name.rpartition(".")[2] for task in self.tasks}
        routes = [route for route in self.routes if not _elsewhere(route, known)]
        return Code(
            routes=tuple(dict.fromkeys(routes)),
            declared=tuple(dict.fromkeys(self.declared)),
            settings=tuple(self.settings),
            tasks=tuple(self.tasks),
            delays=tuple(dict.fromkeys(self.delays)),
            priorities=tuple(dict.fromkeys(self.priorities)),
            opaque=tuple(opaque),
            started=tuple(self.started),
            strings=frozenset(self.strings),
            has_app=self.has_app,
        )


def _elsewhere(route: Route, known: set[str]) -> bool:
    """Whether a message goes to a task that this checkout does not have: its worker is then elsewhere too."""
    return route.source == "send_task" and route.task is not None and route.task.rpartition(".")[2] not in known


def _is_pair(item: list[Value]) -> bool:
    """Whether a list is a pattern, which may be a compiled one, and its route."""
    if len(item) != 2 or not isinstance(item[0], str):
        return False
    is_route = "queue" in item[1] if isinstance(item[1], dict) else isinstance(item[1], str) and item[1] != UNKNOWN
    return is_route or item[0] != UNKNOWN


class _Reader:
    """Reads one file."""

    def __init__(self, module: Module, evaluator: Evaluator, found: _Found) -> None:
        self.module = module
        self.evaluator = evaluator
        self.found = found
        self.declaring: set[int] = set()  # texts within Queue(...)

    def read(self) -> None:
        """Add what the file says to what was found."""
        self._assignments(self.module.tree.body)
        nodes = list(ast.walk(self.module.tree))  # walking costs as much as parsing
        for node in nodes:
            self._node(node)
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self.declaring:
                self.found.strings.add(node.value[:80])

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._target(target, node.value)
        elif isinstance(node, ast.Dict):
            self._dict(node)
        elif isinstance(node, ast.List | ast.Tuple):
            self._command_line(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            self._assignments(node.body)
            self._class(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            self.found.has_app = self.found.has_app or any(name.split(".")[0] == "celery" for name in names)

    def _value(self, node: ast.expr | None) -> Value:
        return self.evaluator.value(node, self.module)

    def _at(self, node: ast.expr | ast.stmt) -> Location:
        return Location(self.module.path, node.lineno)

    def _assignments(self, body: list[ast.stmt]) -> None:
        for statement in statements(body):
            for name, value in assigned(statement):
                if setting := setting_name(name):
                    self._setting(setting, value, self._at(statement))

    def _target(self, target: ast.expr, value: ast.expr) -> None:
        """Read `app.conf.NAME = ...`, `settings["NAME"] = ...` and `app.conf.task_routes["pattern"] = ...`."""
        if isinstance(target, ast.Attribute) and (name := setting_name(target.attr)):
            self._setting(name, value, self._at(target))
        elif isinstance(target, ast.Subscript):
            key = self._value(target.slice)
            holder = setting_name(called_name(target.value))
            if holder in ("task_routes", "beat_schedule"):
                self._setting(holder, ast.Dict(keys=[target.slice], values=[value]), self._at(target))
            elif isinstance(key, str) and (name := setting_name(key)):
                self._setting(name, value, self._at(target))

    def _setting(self, name: str, node: ast.expr, location: Location) -> None:
        value = self._value(node)
        self.found.settings.append(Setting(name, value, location))
        if name == "task_routes":
            self._routes(value, location)
        elif name == "task_queues":
            self._queues(value, location)
        elif name == "beat_schedule":
            self._schedule(value)
        elif name == "task_default_queue":
            self._route(value, "task_default_queue", location)
        elif name == "task_default_priority" and isinstance(value, int) and value > 0:
            self.found.priorities.append(Prioritised(value, location))

    def _routes(self, value: Value, location: Location) -> None:
        """Read task_routes: a mapping, a list of mappings or pairs, or a router."""
        if isinstance(value, dict):
            for pattern, target in value.items():
                self._routed(pattern, target, location)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, list) and _is_pair(item):
                    self._routed(item[0], item[1], location)
                else:
                    self._routes(item, location)
        elif value is not None:
            self.found.routers.append(Opaque("a router in task_routes", location))

    def _routed(self, pattern: object, target: Value, location: Location) -> None:
        name = pattern if isinstance(pattern, str) and UNKNOWN not in pattern else None
        if isinstance(pattern, Word) and pattern.location.path == location.path:
            location = pattern.location
        if isinstance(target, dict):
            if "queue" in target:
                self._route(target["queue"], "task_routes", location, name)
            elif UNKNOWN in target or "routing_key" in target or "exchange" in target:
                self.found.opaque.append(Opaque("task_routes", location))
            self._priority(target.get("priority"), location, target.get("queue"))
        else:
            self._route(target, "task_routes", location, name)

    def _route(self, queue: Value, source: str, location: Location, task: str | None = None) -> None:
        if queue is None:
            return
        if isinstance(queue, QueueValue):
            queue = queue.name
        if isinstance(queue, list) or not isinstance(queue, str) or UNKNOWN in queue:
            self.found.opaque.append(Opaque(source, location))
            return
        if queue:
            self.found.routes.append(Route(str(queue), source, location, task=task))

    def _queues(self, value: Value, location: Location) -> None:
        items = value if isinstance(value, list) else list(value) if isinstance(value, dict) else [UNKNOWN]
        for item in items:
            if isinstance(item, QueueValue) and isinstance(item.name, str) and UNKNOWN not in item.name:
                self.found.declared.append(Declared(str(item.name), item.location, item.custom, item.max_priority))
            elif isinstance(item, str) and UNKNOWN not in item:
                self.found.declared.append(Declared(str(item), location))
            else:
                self.found.opaque.append(Opaque("task_queues", location))

    def _schedule(self, value: Value) -> None:
        for entry in value.values() if isinstance(value, dict) else ():
            options = entry.get("options") if isinstance(entry, dict) else None
            if isinstance(options, dict) and "queue" in options:
                queue = options["queue"]
                where = queue.location if isinstance(queue, Word) else Location(self.module.path)
                self._route(queue, "beat_schedule", where)

    def _call(self, node: ast.Call) -> None:
        name = called_name(node)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        self.found.has_app = self.found.has_app or name == "Celery"
        if name == "Queue":
            self.declaring.update(id(inner) for inner in ast.walk(node))
        if name == "Worker" and "queues" in keywords:
            queues = self._value(keywords["queues"])
            joined = ",".join(map(str, queues)) if isinstance(queues, list) else str(queues)
            self.found.started.append(Started(("worker", "-Q", joined), self._at(node)))
        if name in _SENDS and isinstance(node.func, ast.Attribute | ast.Name):
            self._send(node, name, keywords)
        for keyword, value in keywords.items():
            setting = setting_name(keyword)
            if setting and (setting not in _PLAIN or name in ("Celery", "update")):
                self._setting(setting, value, self._at(value))
        if name == "Celery" and "broker" in keywords:
            self._setting("broker_url", keywords["broker"], self._at(node))
        if name == "update" and isinstance(node.func, ast.Attribute) and node.args:
            holder = setting_name(called_name(node.func.value))
            if holder in ("task_routes", "beat_schedule"):
                self._setting(holder, node.args[0], self._at(node))

    def _send(self, node: ast.Call, name: str, keywords: dict[str, ast.expr]) -> None:
        if name == "set" and (node.args or not isinstance(node.func, ast.Attribute)):
            return  # somebody else's, as a cache's set(key, value)
        queue = self._value(keywords["queue"]) if "queue" in keywords else None
        task = self._value(node.args[0]) if name in ("send_task", "signature", "subtask") and node.args else None
        if queue is not None:
            self._route(queue, name, self._at(node), str(task) if isinstance(task, str) else None)
        elif name in ("apply_async", "send_task") and _is_computed(node, keywords):
            self.found.opaque.append(Opaque(name, self._at(node)))
        known = str(queue) if isinstance(queue, str) and UNKNOWN not in queue else None
        if (delay := self._delay(keywords)) is not None:
            self.found.delays.append(Delay(delay, self._at(node), known))
        if "priority" in keywords:
            self._priority(self._value(keywords["priority"]), self._at(node), known)

    def _delay(self, keywords: dict[str, ast.expr]) -> float | None:
        node = keywords.get("countdown")
        eta = keywords.get("eta")
        if isinstance(eta, ast.BinOp) and isinstance(eta.op, ast.Add):
            node = eta.right if called_name(eta.right) == "timedelta" else eta.left
            node = node if called_name(node) == "timedelta" else None
        value = self._value(node) if node is not None else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _priority(self, value: Value, location: Location, queue: Value) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            known = str(queue) if isinstance(queue, str) and UNKNOWN not in queue else None
            self.found.priorities.append(Prioritised(value, location, known))

    def _dict(self, node: ast.Dict) -> None:
        """Read a dict of settings, as `CELERY = {"task_routes": ...}`."""
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                name = setting_name(key.value)
                if name and name not in _PLAIN:
                    self._setting(name, value, self._at(key))

    def _command_line(self, node: ast.List | ast.Tuple) -> None:
        """Read `["celery", "-A", "shop", "worker"]`, and the same without `celery` as `worker_main` takes it."""
        texts = {part.value for part in node.elts if isinstance(part, ast.Constant)}
        if texts & {"worker", "beat"} and any(isinstance(text, str) and text.startswith("-") for text in texts):
            words = tuple(str(word) for word in self._value(node))
            self.found.started.append(Started(words, self._at(node)))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            if called_name(decorator) in _TASKS:
                keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
                self._task(node.name, {item.arg: item.value for item in keywords if item.arg}, self._at(decorator))
        if "route" in node.name.lower():
            self._router(node)

    def _task(self, name: str, options: dict[str, ast.expr], location: Location) -> None:
        values = {key: self._value(value) for key, value in options.items()}
        named = values.get("name")
        limit, late = values.get("time_limit"), values.get("acks_late")
        queue = values.get("queue")
        known = str(queue) if isinstance(queue, str) and UNKNOWN not in queue else None
        self.found.tasks.append(
            Task(
                name=str(named) if isinstance(named, str) and UNKNOWN not in named else name,
                location=location,
                queue=known,
                time_limit=float(limit) if isinstance(limit, int | float) else None,
                acks_late=late if isinstance(late, bool) else None,
            )
        )
        self.found.has_app = True
        if "queue" in values:
            self._route(queue, "decorator", location, name)
        self._priority(values.get("priority"), location, queue)

    def _class(self, node: ast.ClassDef) -> None:
        """Read a task that is a class."""
        if any(called_name(base).endswith("Task") for base in node.bases):
            options = {name: value for inner in node.body for name, value in assigned(inner)}
            if {"queue", "time_limit", "acks_late", "name"} & set(options):
                self._task(node.name, options, self._at(node))

    def _router(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for inner in _returns(node):
            value = self._value(inner.value)
            if isinstance(value, dict) and "queue" in value:
                self.found.router_found = True
                self._route(value["queue"], "router", self._at(inner))


def _returns(node: ast.AST) -> Iterator[ast.Return]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Return))


def _is_computed(node: ast.Call, keywords: dict[str, ast.expr]) -> bool:
    """Whether the queue may be in `**options`, or is chosen by a key."""
    return any(keyword.arg is None for keyword in node.keywords) or bool({"routing_key", "exchange"} & set(keywords))


def setting_values(code: Code, name: str) -> list[tuple[Any, Location]]:
    """Return the values of a setting that are known."""
    return [
        (cast("Any", setting.value), setting.location)
        for setting in code.settings
        if setting.name == name and setting.value != UNKNOWN
    ]
