"""What a Python expression is, as far as the syntax tree says it: constants, names, f-strings, comprehensions.

Nothing is imported or run. What depends on the run is UNKNOWN, which a text may also hold in the middle. A variable of
the environment has its default.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from surfaces.audit.model import UNKNOWN, Location

MAX_DEPTH = 25  # names that stand for names
MAX_ITEMS = 2_000  # of a comprehension

Value = Any  # a constant, a Word, a QueueValue, containers of those, or UNKNOWN

_ENVIRONMENT = frozenset({"get", "getenv", "env", "config", "str", "get_env", "getenv_str", "environ", "env_str"})
_COPIES: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": list, "set": list, "sorted": list, "frozenset": list}
_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1, "weeks": 604800, "milliseconds": 0.001}


class Word(str):
    """A text and where it stands."""

    __slots__ = ("location",)
    location: Location

    def __new__(cls, text: str, location: Location) -> Self:
        """Return the text with its location."""
        made = super().__new__(cls, text)
        made.location = location
        return made


@dataclass(frozen=True)
class QueueValue:
    """A kombu Queue(...)."""

    name: Any
    location: Location
    custom: bool = False
    max_priority: bool = False


@dataclass
class Module:
    """A parsed file: what its names stand for at module level, and in its classes."""

    path: str
    tree: ast.Module
    names: dict[str, ast.expr] = field(default_factory=dict)
    classes: dict[str, dict[str, ast.expr]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # alias: module (with dots), name or ""


def module_of(path: str, tree: ast.Module) -> Module:
    """Return a file's names."""
    module = Module(path, tree)
    for statement in statements(tree.body):
        if isinstance(statement, ast.ClassDef):
            module.classes[statement.name] = {
                name: value for inner in statements(statement.body) for name, value in assigned(inner)
            }
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                origin = "." * statement.level + (statement.module or "")
                module.imports[alias.asname or alias.name] = (origin, alias.name)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                module.imports[alias.asname or alias.name] = (alias.name, "")
        else:
            module.names.update(assigned(statement))
    return module


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those within if, try and with, but not within functions and classes."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from statements(statement.body)
            yield from statements(getattr(statement, "orelse", []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)


def assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement assigns, with the expression."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
        yield statement.target.id, statement.value


def called_name(node: ast.expr) -> str:
    """Return the last part of what is called or named: `app.task` is task."""
    if isinstance(node, ast.Call):
        return called_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Evaluator:
    """Evaluates expressions of one checkout. `load` parses a file, or returns None; `paths` are all Python files."""

    def __init__(self, paths: Iterable[str], load: Callable[[str], Module | None]) -> None:
        self.load = load
        self.by_stem: dict[str, list[str]] = {}
        self.methods: dict[type[ast.expr], Callable[..., Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.JoinedStr: self._joinedstr,
            ast.Dict: self._dict,
            ast.List: self._list,
            ast.Tuple: self._list,
            ast.Set: self._list,
            ast.ListComp: self._listcomp,
            ast.SetComp: self._listcomp,
            ast.GeneratorExp: self._listcomp,
            ast.DictComp: self._dictcomp,
            ast.BinOp: self._binop,
            ast.BoolOp: self._boolop,
            ast.IfExp: self._ifexp,
            ast.UnaryOp: self._unaryop,
            ast.Subscript: self._subscript,
            ast.Call: self._call,
        }
        for path in paths:
            pure = PurePosixPath(path)
            stem = pure.parent.name if pure.name == "__init__.py" else pure.stem
            self.by_stem.setdefault(stem, []).append(path)

    def value(
        self, node: ast.expr | None, module: Module, local: dict[str, Value] | None = None, depth: int = 0
    ) -> Value:
        """Return what an expression is; UNKNOWN where the tree does not say it."""
        if node is None or depth > MAX_DEPTH:
            return UNKNOWN
        method = self.methods.get(type(node))
        return UNKNOWN if method is None else method(node, module, local or {}, depth + 1)

    def _constant(self, node: ast.Constant, module: Module, *_: object) -> Value:
        if isinstance(node.value, str):
            return Word(node.value, Location(module.path, node.lineno))
        return node.value

    def _name(self, node: ast.Name, module: Module, local: dict[str, Value], depth: int) -> Value:
        if node.id in local:
            return local[node.id]
        if node.id in module.names:
            return self.value(module.names[node.id], module, None, depth)
        if node.id in module.imports:
            origin, name = module.imports[node.id]
            return self._imported(origin, name, module, depth)
        return UNKNOWN

    def _imported(self, origin: str, name: str, module: Module, depth: int) -> Value:
        for other in self.modules(origin, module):
            if name in other.names:
                return self.value(other.names[name], other, None, depth)
            if name in other.imports and other.path != module.path and depth < MAX_DEPTH:
                further, original = other.imports[name]
                return self._imported(further, original, other, depth + 1)
        return UNKNOWN

    def modules(self, origin: str, module: Module) -> Iterator[Module]:
        """Yield the files that an import may mean, the nearest first."""
        dotted = origin.lstrip(".")
        parts = dotted.split(".") if dotted else []
        stem = parts[-1] if parts else PurePosixPath(module.path).parent.name
        found = [path for path in self.by_stem.get(stem, []) if _ends_with(path, parts)]
        for path in sorted(found, key=lambda path: (-_common(path, module.path), path))[:3]:
            if other := self.load(path):
                yield other

    def _attribute(self, node: ast.Attribute, module: Module, local: dict[str, Value], depth: int) -> Value:
        if node.attr in ("value", "name"):
            base = self.value(node.value, module, local, depth)
            return base.name if isinstance(base, QueueValue) else base
        holder = called_name(node.value)
        if holder in module.classes:
            return self.value(module.classes[holder].get(node.attr), module, None, depth)
        if holder in module.imports:
            origin, name = module.imports[holder]
            return self._of_import(origin, name, node.attr, module, depth)
        return self._of_anyone(node.attr, module, depth)

    def _of_import(self, origin: str, name: str, attribute: str, module: Module, depth: int) -> Value:
        for other in self.modules(origin, module):
            if name in other.classes and attribute in other.classes[name]:
                return self.value(other.classes[name][attribute], other, None, depth)
            if not name and attribute in other.names:
                return self.value(other.names[attribute], other, None, depth)
        path = f"{origin}.{name}" if not origin.endswith(".") else f"{origin}{name}"
        for other in self.modules(path, module) if name else ():
            if attribute in other.names:
                return self.value(other.names[attribute], other, None, depth)
        return UNKNOWN

    def _of_anyone(self, attribute: str, module: Module, depth: int) -> Value:
        """Return a class' constant by its name alone, where the file has but one (`self.QUEUE`, `cls.QUEUE`)."""
        holders = [names for names in module.classes.values() if attribute in names]
        return self.value(holders[0][attribute], module, None, depth) if len(holders) == 1 else UNKNOWN

    def _joinedstr(self, node: ast.JoinedStr, module: Module, local: dict[str, Value], depth: int) -> Value:
        text = ""
        for part in node.values:
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part, module, local, depth)
            text += str(value) if isinstance(value, str | int | float) else UNKNOWN
        return Word(text, Location(module.path, node.lineno))

    def _dict(self, node: ast.Dict, module: Module, local: dict[str, Value], depth: int) -> Value:
        made: dict[Any, Value] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self.value(item, module, local, depth)
            if key is not None:
                name = self.value(key, module, local, depth)
                made[name if isinstance(name, str | int) else UNKNOWN] = value
            elif isinstance(value, dict):
                made.update(value)
            else:
                made[UNKNOWN] = UNKNOWN
        return made

    def _list(self, node: ast.List | ast.Tuple | ast.Set, module: Module, local: dict[str, Value], depth: int) -> Value:
        made: list[Value] = []
        for item in node.elts:
            if isinstance(item, ast.Starred):
                value = self.value(item.value, module, local, depth)
                made.extend(value if isinstance(value, list) else [UNKNOWN])
            else:
                made.append(self.value(item, module, local, depth))
        return made

    def _scopes(
        self, generators: list[ast.comprehension], module: Module, local: dict[str, Value], depth: int
    ) -> list[dict[str, Value]] | None:
        """Return the variables of each turn of a comprehension; None where they are not known."""
        first = generators[0]
        items = self.value(first.iter, module, local, depth)
        if isinstance(first.iter, ast.Call) and called_name(first.iter) in ("items", "keys", "values"):
            items = self._of_mapping(first.iter, module, local, depth)
        if isinstance(items, dict):
            items = list(items)
        if items == UNKNOWN and isinstance(first.iter, ast.Name):
            items = self._members(first.iter.id, module, depth)
        if len(generators) != 1 or first.ifs or not isinstance(items, list) or len(items) > MAX_ITEMS:
            return None
        return [{**local, **_bound(first.target, item)} for item in items]

    def _members(self, name: str, module: Module, depth: int) -> Value:
        """Return the constants of a class, which an Enum yields when it is iterated."""
        holders = [(module, name)]
        if name in module.imports:
            origin, original = module.imports[name]
            holders = [(other, original) for other in self.modules(origin, module)]
        for holder, each in holders:
            if each in holder.classes:
                return [self.value(node, holder, None, depth) for node in holder.classes[each].values()]
        return UNKNOWN

    def _of_mapping(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        if not isinstance(node.func, ast.Attribute):
            return UNKNOWN
        holder = self.value(node.func.value, module, local, depth)
        if not isinstance(holder, dict):
            return UNKNOWN
        kinds: dict[str, list[Value]] = {"keys": list(holder), "values": list(holder.values())}
        return kinds.get(node.func.attr, [list(pair) for pair in holder.items()])

    def _listcomp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, module: Module, local: dict[str, Value], depth: int
    ) -> Value:
        scopes = self._scopes(node.generators, module, local, depth)
        return [UNKNOWN] if scopes is None else [self.value(node.elt, module, scope, depth) for scope in scopes]

    def _dictcomp(self, node: ast.DictComp, module: Module, local: dict[str, Value], depth: int) -> Value:
        scopes = self._scopes(node.generators, module, local, depth)
        if scopes is None:
            return {UNKNOWN: self.value(node.value, module, local, depth)}
        made = {}
        for scope in scopes:
            key = self.value(node.key, module, scope, depth)
            made[key if isinstance(key, str | int) else UNKNOWN] = self.value(node.value, module, scope, depth)
        return made

    def _binop(self, node: ast.BinOp, module: Module, local: dict[str, Value], depth: int) -> Value:
        left = self.value(node.left, module, local, depth)
        right = self.value(node.right, module, local, depth)
        if isinstance(left, dict) and isinstance(right, dict) and isinstance(node.op, ast.BitOr):
            return {**left, **right}
        if isinstance(left, list) and isinstance(right, list) and isinstance(node.op, ast.Add):
            return left + right
        if isinstance(left, str) and isinstance(right, str) and isinstance(node.op, ast.Add):
            return Word(left + right, Location(module.path, node.lineno))
        return _arithmetic(node.op, left, right)

    def _boolop(self, node: ast.BoolOp, module: Module, local: dict[str, Value], depth: int) -> Value:
        values = [self.value(part, module, local, depth) for part in node.values]
        if isinstance(node.op, ast.Or):
            return next((value for value in values if value and value != UNKNOWN), values[-1])
        return UNKNOWN

    def _ifexp(self, node: ast.IfExp, module: Module, local: dict[str, Value], depth: int) -> Value:
        one = self.value(node.body, module, local, depth)
        other = self.value(node.orelse, module, local, depth)
        return one if one == other else UNKNOWN

    def _unaryop(self, node: ast.UnaryOp, module: Module, local: dict[str, Value], depth: int) -> Value:
        value = self.value(node.operand, module, local, depth)
        if isinstance(node.op, ast.USub) and isinstance(value, int | float):
            return -value
        return not value if isinstance(node.op, ast.Not) and isinstance(value, bool) else UNKNOWN

    def _subscript(self, node: ast.Subscript, module: Module, local: dict[str, Value], depth: int) -> Value:
        holder = self.value(node.value, module, local, depth)
        key = self.value(node.slice, module, local, depth)
        if isinstance(holder, dict) and isinstance(key, str | int):
            return holder.get(key, UNKNOWN)
        if isinstance(holder, list) and isinstance(key, int) and -len(holder) <= key < len(holder):
            return holder[key]
        return UNKNOWN

    def _call(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        name = called_name(node)
        if name == "Queue":
            return self._queue(node, module, local, depth)
        if name == "Broadcast":
            return QueueValue(UNKNOWN, Location(module.path, node.lineno), custom=True)
        if name == "dict":
            return self._dict_call(node, module, local, depth)
        if name == "timedelta":
            return self._timedelta(node, module, local, depth)
        if name in _ENVIRONMENT or name.startswith(("env", "get_env", "getenv")) or _is_environment(node.func):
            return self._environment(node, module, local, depth)
        arguments = [self.value(argument, module, local, depth) for argument in node.args[:3]]
        if name == "Exchange":  # a direct one is named after its queue, and takes nothing that the queue would not
            return arguments[0] if arguments and not {"topic", "fanout"} & _constants(node) else UNKNOWN
        if name == "getattr":
            return arguments[2] if len(arguments) > 2 else UNKNOWN
        return _converted(name, arguments[0]) if arguments else UNKNOWN

    def _queue(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        given = {keyword.arg: self.value(keyword.value, module, local, depth) for keyword in node.keywords}
        places = dict(zip(("name", "exchange", "routing_key"), node.args, strict=False))
        given.update({name: self.value(argument, module, local, depth) for name, argument in places.items()})
        name = given.get("name", UNKNOWN)
        custom = any(given.get(key) not in (None, name, "") for key in ("exchange", "routing_key", "bindings"))
        arguments = given.get("queue_arguments")
        most = given.get("max_priority") or (isinstance(arguments, dict) and "x-max-priority" in arguments)
        return QueueValue(name, Location(module.path, node.lineno), custom, bool(most))

    def _dict_call(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        made: dict[Any, Value] = {}
        for argument in [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg is None)]:
            value = self.value(argument, module, local, depth)
            made.update(value if isinstance(value, dict) else {UNKNOWN: UNKNOWN})
        for keyword in node.keywords:
            if keyword.arg is not None:
                made[keyword.arg] = self.value(keyword.value, module, local, depth)
        return made

    def _timedelta(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        total: float = 0
        places = zip(("days", "seconds"), node.args, strict=False)
        for name, part in [*places, *((keyword.arg or "", keyword.value) for keyword in node.keywords)]:
            value = self.value(part, module, local, depth)
            if isinstance(value, str) or not isinstance(value, int | float) or name not in _SECONDS:
                return UNKNOWN
            total += value * _SECONDS[name]
        return total

    def _environment(self, node: ast.Call, module: Module, local: dict[str, Value], depth: int) -> Value:
        """Return a variable's default: the second argument, or the keyword `default`."""
        for keyword in node.keywords:
            if keyword.arg in ("default", "fallback"):
                return self.value(keyword.value, module, local, depth)
        if len(node.args) > 1:
            return self.value(node.args[1], module, local, depth)
        return UNKNOWN


def _ends_with(path: str, parts: list[str]) -> bool:
    names = list(PurePosixPath(path).with_suffix("").parts)
    if names[-1:] == ["__init__"]:
        names.pop()
    return names[-len(parts) :] == parts if parts else True


def _common(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if left != right:
            break
        count += 1
    return count


def _bound(target: ast.expr, item: Value) -> dict[str, Value]:
    if isinstance(target, ast.Name):
        return {target.id: item}
    if isinstance(target, ast.Tuple):
        parts = item if isinstance(item, list) and len(item) == len(target.elts) else [UNKNOWN] * len(target.elts)
        return {part.id: value for part, value in zip(target.elts, parts, strict=True) if isinstance(part, ast.Name)}
    return {}


def _arithmetic(operator: ast.operator, left: Value, right: Value) -> Value:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return UNKNOWN
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    return left / right if isinstance(operator, ast.Div | ast.FloorDiv) and right else UNKNOWN


def _constants(node: ast.Call) -> set[object]:
    """Return the constants among a call's arguments."""
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return {argument.value for argument in given if isinstance(argument, ast.Constant)}


def _is_environment(function: ast.expr) -> bool:
    """Whether `env.list(...)` or `os.environ.get(...)` is called."""
    return isinstance(function, ast.Attribute) and called_name(function.value) in ("env", "environ", "config")


def _converted(name: str, value: Value) -> Value:
    if name in _COPIES:
        return value if isinstance(value, list) else list(value) if isinstance(value, dict) else UNKNOWN
    if name in ("int", "float") and isinstance(value, str | int | float):
        try:
            return float(value)
        except ValueError:
            return UNKNOWN
    return value if name in ("str", "cast", "bool", "_") else UNKNOWN
