"""Renders templates of Helm without Helm: the language of Go's text/template with the functions that charts use.

What cannot be known without a cluster, and every function that is not here, is UNKNOWN, and goes into the text as such.
Each piece of the result remembers its line in the template, since a finding must name a line of a file.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from surfaces.audit.model import UNKNOWN

MAX_STEPS = 200_000  # of one rendering
MAX_DEPTH = 30

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_LEXEME = re.compile(
    r"""\s*(?:("(?:\\.|[^"\\])*")|(`[^`]*`)|('(?:\\.|[^'\\])*')|(:=|=|\||\(|\)|,)|(\$?[A-Za-z_0-9]*(?:\.[A-Za-z_][\w-]*)+"""
    r"""|\$[A-Za-z_]\w*|\$|\.|-?\d+(?:\.\d+)?|[A-Za-z_]\w*))"""
)

Value = Any  # a scalar, list or mapping of the values, or UNKNOWN


class TemplateError(ValueError):
    """A template cannot be parsed; the message says why."""


@dataclass
class Node:
    """A text, an action, or a block with its branches."""

    kind: str
    text: str
    line: int
    branches: list[tuple[str, list["Node"]]] = field(default_factory=list)  # condition (or else's ""), body


@dataclass(frozen=True)
class Piece:
    """A part of the result, and its line in the template."""

    text: str
    line: int


def parse(source: str) -> list[Node]:
    """Return a template's nodes.

    Raises:
        TemplateError: blocks are not closed.
    """
    root: list[Node] = []
    stack: list[list[Node]] = [root]
    blocks: list[Node] = []
    for kind, text, line in _split(source):
        word = text.split(maxsplit=1)[0] if kind == "action" and text else ""
        rest = text[len(word) :].strip()
        if kind == "text":
            stack[-1].append(Node("text", text, line))
        elif word in ("if", "range", "with", "define", "block"):
            node = Node(word, rest, line, [(rest, [])])
            stack[-1].append(node)
            blocks.append(node)
            stack.append(node.branches[0][1])
        elif word == "else" and blocks:
            blocks[-1].branches.append((rest.removeprefix("if ").removeprefix("with ").strip(), []))
            stack[-1] = blocks[-1].branches[-1][1]
        elif word == "end":
            if not blocks:
                raise TemplateError(f"line {line}: end without a block")
            blocks.pop()
            stack.pop()
        elif text and not text.startswith("/*"):
            stack[-1].append(Node("action", text, line))
    if blocks:
        raise TemplateError(f"line {blocks[-1].line}: {blocks[-1].kind} without end")
    return root


def _split(source: str) -> Iterator[tuple[str, str, int]]:
    at, line, trim = 0, 1, False
    for match in _ACTION.finditer(source):
        text = source[at : match.start()]
        begin = line
        line += text.count("\n")
        if trim:
            begin += len(text[: len(text) - len(text.lstrip())].split("\n")) - 1
            text = text.lstrip()
        if match[1]:
            text = text.rstrip()
        if text:
            yield "text", text, begin
        yield "action", match[2].strip(), line
        line += match[0].count("\n")
        at, trim = match.end(), bool(match[3])
    rest = source[at:]
    if trim:
        line += rest[: len(rest) - len(rest.lstrip())].count("\n")
        rest = rest.lstrip()
    if rest:
        yield "text", rest, line


class Renderer:
    """Renders templates that share their definitions."""

    def __init__(self, root: dict[str, Value]) -> None:
        self.root = root
        self.defined: dict[str, list[Node]] = {}
        self.steps = 0
        self.blocks = {"if": self._if, "with": self._with, "range": self._range, "block": self._block}

    def define(self, nodes: list[Node]) -> None:
        """Keep the definitions of a template."""
        for node in nodes:
            if node.kind in ("define", "block"):
                self.defined[node.branches[0][0].split()[0].strip('"`')] = node.branches[0][1]

    def render(self, nodes: list[Node]) -> list[Piece]:
        """Return what a template becomes.

        Raises:
            TemplateError: it does not end within MAX_STEPS.
        """
        self.define(nodes)
        return list(self._nodes(nodes, self.root, {"$": self.root}, 0))

    def _nodes(self, nodes: list[Node], dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        for node in nodes:
            self.steps += 1
            if self.steps > MAX_STEPS or depth > MAX_DEPTH:
                raise TemplateError("it does not end")
            if node.kind == "text":
                yield Piece(node.text, node.line)
            elif node.kind == "action":
                yield from self._action(node, dot, names, depth)
            elif node.kind != "define":
                yield from self.blocks[node.kind](node, dot, names, depth)

    def _action(self, node: Node, dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        if match := re.match(r"\$(\w+)\s*:?=\s*(.*)", node.text, re.DOTALL):
            names[f"${match[1]}"] = self.value(match[2], dot, names, depth)
        elif match := re.match(r'template\s+"([^"]+)"\s*(.*)', node.text, re.DOTALL):
            inner = self.value(match[2], dot, names, depth) if match[2] else None
            yield Piece(self._include(match[1], inner, depth), node.line)
        else:
            yield Piece(_printed(self.value(node.text, dot, names, depth)), node.line)

    def _if(self, node: Node, dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        for index, (condition, body) in enumerate(node.branches):
            is_else = index > 0 and not condition
            value = True if is_else else self.value(condition, dot, names, depth)
            if value:  # UNKNOWN is a text, so what may be there is there
                yield from self._nodes(body, dot, names, depth + 1)
                return

    def _with(self, node: Node, dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        condition, body = node.branches[0]
        match = re.match(r"(\$\w+)\s*:=\s*(.*)", condition, re.DOTALL)
        value = self.value(match[2] if match else condition, dot, names, depth)
        if value:
            yield from self._nodes(body, value, {**names, **({match[1]: value} if match else {})}, depth + 1)
        elif len(node.branches) > 1:
            yield from self._nodes(node.branches[1][1], dot, names, depth + 1)

    def _block(self, node: Node, dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        yield from self._nodes(node.branches[0][1], dot, names, depth + 1)

    def _range(self, node: Node, dot: Value, names: dict[str, Value], depth: int) -> Iterator[Piece]:
        condition, body = node.branches[0]
        match = re.match(r"(?:(\$\w+)\s*,\s*)?(\$\w+)\s*:=\s*(.*)", condition, re.DOTALL)
        items = self.value(match[3] if match else condition, dot, names, depth)
        pairs = list(items.items()) if isinstance(items, dict) else list(enumerate(_items(items)))
        for key, item in pairs:
            inner = names
            if match:
                inner = {**names, match[2]: item, **({match[1]: key} if match[1] else {})}
            yield from self._nodes(body, item, inner, depth + 1)
        if not pairs and len(node.branches) > 1:
            yield from self._nodes(node.branches[1][1], dot, names, depth + 1)

    def _include(self, name: str, dot: Value, depth: int) -> str:
        if name not in self.defined:
            return UNKNOWN
        return "".join(piece.text for piece in self._nodes(self.defined[name], dot, {"$": dot}, depth + 1))

    def value(self, expression: str, dot: Value, names: dict[str, Value], depth: int) -> Value:
        """Return what a pipeline is."""
        lexemes = _lexemes(expression)
        return self._pipeline(lexemes, dot, names, depth)

    def _pipeline(self, lexemes: list[str], dot: Value, names: dict[str, Value], depth: int) -> Value:
        result: list[Value] = []
        for part in _parts(lexemes, "|"):
            result = [self._call(part, result, dot, names, depth)]
        return result[0] if result else UNKNOWN

    def _call(self, lexemes: list[str], piped: list[Value], dot: Value, names: dict[str, Value], depth: int) -> Value:
        terms = list(_terms(lexemes))
        if not terms:
            return UNKNOWN
        first = terms[0]
        if len(first) == 1 and re.fullmatch(r"[A-Za-z_]\w*", first[0]) and first[0] not in ("true", "false", "nil"):
            arguments = [self._term(term, dot, names, depth) for term in terms[1:]] + piped
            return self._function(first[0], arguments, depth)
        value = self._term(first, dot, names, depth)
        return UNKNOWN if len(terms) > 1 else value  # a method of an object that is not here

    def _term(self, lexemes: list[str], dot: Value, names: dict[str, Value], depth: int) -> Value:
        if lexemes[0] == "(":
            value = self._pipeline(
                lexemes[1:-1] if lexemes[-1] == ")" else lexemes[1 : _closing(lexemes)], dot, names, depth
            )
            after = "" if lexemes[-1] == ")" else lexemes[-1]
            return _field(value, after.split(".")[1:]) if after else value
        word = lexemes[0]
        if word[0] in "\"'":
            try:
                return json.loads(word if word[0] == '"' else f'"{word[1:-1]}"')
            except ValueError:
                return word[1:-1]
        if word[0] == "`":
            return word[1:-1]
        if re.fullmatch(r"-?\d+(\.\d+)?", word):
            return float(word) if "." in word else int(word)
        if word in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[word]
        head, _, path = word.partition(".")
        holder = names.get(head, UNKNOWN) if head else dot
        return _field(holder, [step for step in path.split(".") if step]) if head or path or word == "." else UNKNOWN

    def _function(self, name: str, arguments: list[Value], depth: int) -> Value:
        if name == "include" and arguments:
            return self._include(str(arguments[0]), arguments[1] if len(arguments) > 1 else None, depth)
        if name == "tpl" and arguments:
            text = str(arguments[0])
            if "{{" not in text:
                return text
            return "".join(piece.text for piece in self._nodes(parse(text), self.root, {"$": self.root}, depth + 1))
        bare = name.removeprefix("must")  # mustMerge is merge that fails
        function = FUNCTIONS.get(name) or FUNCTIONS.get(bare[:1].lower() + bare[1:])
        if function is None:
            return UNKNOWN
        try:
            return function(*arguments)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError, re.error):
            return UNKNOWN


def _lexemes(expression: str) -> list[str]:
    found, at = [], 0
    while at < len(expression):
        match = _LEXEME.match(expression, at)
        if match is None or match.end() == at:
            at += 1
            continue
        found.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return found


def _parts(lexemes: list[str], separator: str) -> Iterator[list[str]]:
    depth = 0
    part: list[str] = []
    for lexeme in lexemes:
        depth += (lexeme == "(") - (lexeme == ")")
        if lexeme == separator and depth == 0:
            yield part
            part = []
        else:
            part.append(lexeme)
    yield part


def _closing(lexemes: list[str]) -> int:
    depth = 0
    for index, lexeme in enumerate(lexemes):
        depth += (lexeme == "(") - (lexeme == ")")
        if depth == 0:
            return index
    return len(lexemes)


def _terms(lexemes: list[str]) -> Iterator[list[str]]:
    at = 0
    while at < len(lexemes):
        if lexemes[at] != "(":
            yield [lexemes[at]]
            at += 1
            continue
        end = at + _closing(lexemes[at:])
        group = lexemes[at : end + 1]
        at = end + 1
        # (dict ...).key: the field of what is in parentheses follows at once
        if (
            at < len(lexemes)
            and lexemes[at].startswith(".")
            and len(lexemes[at]) > 1
            and group[1:2] in (["index"], ["get"])
        ):
            group = [*group, lexemes[at]]
            at += 1
        yield group


def _field(value: Value, path: list[str]) -> Value:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif value is None:
            return None
        else:
            return UNKNOWN
    return value


def _items(value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000 else []


def _printed(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else json.dumps(plain(value))


def plain(value: Value) -> Value:
    """Return a tree of Python's own types, which PyYAML and json can write."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _yaml(value: Value) -> str:
    if isinstance(value, str) and UNKNOWN in value:
        return value
    text = yaml.safe_dump(plain(value), default_flow_style=False, width=100_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").rstrip("\n").replace('"\\0"', UNKNOWN)


def _indented(count: int, text: Value) -> str:
    return "\n".join(" " * int(count) + line for line in _printed(text).split("\n"))


def _default(fallback: Value, value: Value = None) -> Value:
    return fallback if value == UNKNOWN or not value else value


def _merged(*trees: Value) -> Value:
    made: dict[str, Value] = {}
    for tree in reversed(trees):
        for key, item in tree.items():
            old = made.get(key)
            made[key] = _merged(item, old) if isinstance(item, dict) and isinstance(old, dict) else item
    return made


def _and(*values: Value) -> Value:
    return next((value for value in values if not value), values[-1])


def _or(*values: Value) -> Value:
    return next((value for value in values if value), values[-1])


def _equal(value: Value, *others: Value) -> Value:
    return UNKNOWN if UNKNOWN in (value, *others) else value in others


def _index(value: Value, *path: Value) -> Value:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value[step]
    return value


def _printf(form: str, *values: Value) -> str:
    parts = iter(values)
    return re.sub(r"%[-+#0-9.]*[a-zA-Z]", lambda _: _printed(next(parts, "")), form)


def _dict(*values: Value) -> dict[str, Value]:
    return {str(values[index]): values[index + 1] for index in range(0, len(values) - 1, 2)}


def _whole(value: Value) -> Value:
    return UNKNOWN if value == UNKNOWN else int(float(value or 0))


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "default": _default,
    "quote": lambda *values: " ".join(json.dumps(_printed(value), ensure_ascii=False) for value in values),
    "squote": lambda *values: " ".join(f"'{_printed(value)}'" for value in values),
    "toYaml": _yaml,
    "toJson": lambda value: json.dumps(plain(value)).replace("\\u0000", UNKNOWN),
    "toRawJson": lambda value: json.dumps(plain(value)),
    "fromYaml": yaml.safe_load,
    "nindent": lambda count, text: "\n" + _indented(count, text),
    "indent": _indented,
    "printf": _printf,
    "print": lambda *values: "".join(_printed(value) for value in values),
    "trunc": lambda count, text: text[:count] if count >= 0 else text[count:],
    "trimSuffix": lambda end, text: text.removesuffix(end),
    "trimPrefix": lambda start, text: text.removeprefix(start),
    "trimAll": lambda chars, text: text.strip(chars),
    "trim": lambda text: text.strip(),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "replace": lambda old, new, text: text.replace(old, new),
    "join": lambda separator, values: separator.join(_printed(value) for value in values),
    "splitList": lambda separator, text: text.split(separator),
    "list": lambda *values: list(values),
    "dict": _dict,
    "get": lambda tree, key: tree.get(key, ""),
    "set": lambda tree, key, value: {**tree, key: value},
    "hasKey": lambda tree, key: key in tree,
    "has": lambda item, values: item in values,
    "eq": _equal,
    "ne": lambda one, other: UNKNOWN if UNKNOWN in (one, other) else one != other,
    "and": _and,
    "or": _or,
    "not": lambda value: not value,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "ternary": lambda one, other, condition: one if condition else other,
    "required": lambda _, value: UNKNOWN if value in (None, "") else value,
    "coalesce": lambda *values: next((value for value in values if value), None),
    "empty": lambda value: not value,
    "int": _whole,
    "int64": _whole,
    "float64": float,
    "toString": _printed,
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda start, text: text.startswith(start),
    "hasSuffix": lambda end, text: text.endswith(end),
    "len": lambda value: len(value or []),
    "add": lambda *values: sum(values),
    "add1": lambda value: value + 1,
    "sub": lambda one, other: one - other,
    "mul": lambda one, other: one * other,
    "div": lambda one, other: one // other,
    "max": max,
    "min": min,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "keys": list,
    "values": lambda tree: list(tree.values()),
    "merge": _merged,
    "mergeOverwrite": lambda *trees: _merged(*reversed(trees)),
    "deepCopy": plain,
    "concat": lambda *lists: [item for values in lists for item in values or []],
    "append": lambda values, item: [*(values or []), item],
    "compact": lambda values: [value for value in values if value],
    "uniq": lambda values: list(dict.fromkeys(values)),
    "sortAlpha": lambda values: sorted(map(str, values)),
    "until": lambda count: list(range(min(int(count), 1000))),
    "index": _index,
    "omit": lambda tree, *keys: {key: value for key, value in tree.items() if key not in keys},
    "pick": lambda tree, *keys: {key: value for key, value in tree.items() if key in keys},
    "kindIs": lambda kind, value: (
        {"map": dict, "slice": list, "string": str, "bool": bool, "int": int}.get(kind, tuple) is type(plain(value))
    ),
    "lookup": lambda *_: {},
    "cat": lambda *values: " ".join(_printed(value) for value in values),
}
