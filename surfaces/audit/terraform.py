"""Containers that Terraform starts: ECS task definitions, Deployments of the Kubernetes provider, and the like.

A reader of HCL as far as that: blocks, attributes, lists, objects, texts, `jsonencode(...)`, variables with their
defaults, tfvars and locals. What a data source or another resource would say is UNKNOWN.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from surfaces.audit.dockerfile import run
from surfaces.audit.model import UNKNOWN, Location, Surface, Unit
from surfaces.audit.texts import image_names, shown, whole
from surfaces.audit.walk import Checkout, folder_of, is_aside

MAX_DEPTH = 40

_TOKEN = re.compile(
    r"""
    (?P<space> [ \t\r\n]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
    | (?P<here> <<-?(?P<tag>\w+)[^\n]*\n(?P<body>.*?)\n[ \t]*(?P=tag)\b )
    | (?P<text> "(?: \\. | \$\{(?: [^{}"] | "[^"]*" | \{[^{}]*\} )*\} | [^"\\] )*" )
    | (?P<number> -?\d+(?:\.\d+)? )
    | (?P<name> [A-Za-z_][\w.*-]*(?: \[[^\]\n]*\][\w.]* )* )
    | (?P<mark> => | == | != | <= | >= | && | \|\| | \.\.\. | . )
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A token: its kind, its text, its line."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Name:
    """A reference: var.x, local.y, aws_ecr_repository.z.repository_url."""

    text: str


@dataclass
class Block:
    """A block: its type, labels, attributes (each with its line) and inner blocks."""

    kind: str
    labels: tuple[str, ...]
    line: int
    attributes: dict[str, tuple[Any, int]] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    def value(self, name: str) -> Any:  # noqa: ANN401 an attribute of any type
        """Return an attribute."""
        return self.attributes[name][0] if name in self.attributes else None

    def inner(self, *kinds: str) -> Iterator["Block"]:
        """Yield the blocks below a path of kinds."""
        for block in self.blocks:
            if block.kind == kinds[0] or (block.kind == "dynamic" and block.labels[:1] == kinds[:1]):
                if len(kinds) == 1:
                    yield block
                else:
                    yield from block.inner(*kinds[1:])


def parse(text: str) -> Block:
    """Return a file as a block without a type."""
    return _Parser(_tokens(text)).file()


def _tokens(text: str) -> list[Token]:
    found, line = [], 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        if match["here"]:
            found.append(Token("text", json.dumps(match["body"]), line))
        elif not match["space"]:
            found.append(Token("text" if match["text"] else "number" if match["number"] else kind, match[0], line))
        elif "\n" in match[0]:
            found.append(Token("newline", "\n", line))
        line += match[0].count("\n")
    return found


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def file(self) -> Block:
        block = Block("", (), 1)
        while self.at < len(self.tokens):
            self._body(block, 0)
            self.at += 1  # a brace too many
        return block

    def _peek(self, ahead: int = 0) -> Token:
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else Token("end", "", 1)

    def _skip_lines(self) -> None:
        while self._peek().kind == "newline":
            self.at += 1

    def _body(self, block: Block, depth: int) -> None:
        while True:
            self._skip_lines()
            token = self._peek()
            if token.kind == "end" or token.text == "}":
                return
            self.at += 1
            if token.kind not in ("name", "text") or depth > MAX_DEPTH:
                continue
            if self._peek().text == "=":
                self.at += 1
                block.attributes[token.text.strip('"')] = (self._expression(depth + 1), token.line)
            else:
                self._block(block, token, depth)

    def _block(self, block: Block, token: Token, depth: int) -> None:
        labels = []
        while self._peek().kind in ("text", "name"):
            labels.append(self._peek().text.strip('"'))
            self.at += 1
        if self._peek().text != "{":
            return
        self.at += 1
        inner = Block(token.text, tuple(labels), token.line)
        self._body(inner, depth + 1)
        self.at += 1
        block.blocks.append(inner)

    def _expression(self, depth: int) -> Any:  # noqa: ANN401 HCL has values of any type
        value = self._term(depth)
        if self._peek().kind in ("newline", "end") or self._peek().text in ",]})":
            return value
        self._rest()  # an operator: what it makes is not known
        return Name("operator")

    def _rest(self) -> None:
        depth = 0
        while self._peek().kind != "end":
            token = self._peek()
            if depth == 0 and (token.kind == "newline" or token.text in ("]", "}", ")", ",")):
                return
            depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
            self.at += 1

    def _term(self, depth: int) -> Any:  # noqa: ANN401 HCL has values of any type
        token = self._peek()
        self.at += 1
        if depth > MAX_DEPTH:
            return Name("deep")
        if token.kind == "text":
            return token.text
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.text == "[":
            return self._list(depth, "]")
        if token.text == "{":
            return self._object(depth, token.line)
        if token.kind == "name":
            if token.text in ("true", "false", "null"):
                return {"true": True, "false": False, "null": None}[token.text]
            if self._peek().text == "(":
                self.at += 1
                return Call(token.text, tuple(self._list(depth, ")")))
            return Name(token.text)
        if token.text not in ("]", "}", ")", ",") and token.kind != "newline":
            return Name("operator")
        self.at -= 1
        return None

    def _list(self, depth: int, closing: str) -> list[Any]:
        items: list[Any] = []
        while True:
            self._skip_lines()
            token = self._peek()
            if token.kind == "end":
                return items
            if token.text == closing or token.text in ("]", "}", ")"):
                self.at += 1
                return items
            if token.text == ",":
                self.at += 1
                continue
            if token.kind == "name" and token.text == "for":
                self._until(closing)
                return [Name("for")]
            items.append(self._expression(depth + 1))

    def _until(self, closing: str) -> None:
        depth = 0
        while self._peek().kind != "end":
            token = self._peek()
            self.at += 1
            if depth == 0 and token.text == closing:
                return
            depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))

    def _object(self, depth: int, line: int) -> Block:
        made = Block("", (), line)
        while True:
            self._skip_lines()
            token = self._peek()
            if token.kind == "end":
                return made
            if token.text == "}":
                self.at += 1
                return made
            if token.text == "for":
                self._until("}")
                return made
            self.at += 1
            if self._peek().text in ("=", ":"):
                self.at += 1
                self._skip_lines()
                made.attributes[token.text.strip('"')] = (self._expression(depth + 1), token.line)


class Terraform:
    """The files of one folder, which are one module."""

    def __init__(self, checkout: Checkout, folder: str, paths: list[str]) -> None:
        self.folder = folder
        self.files = {path: parse(checkout.text(path)) for path in paths if path.endswith(".tf")}
        self.variables: dict[str, Any] = {}
        self.locals: dict[str, Any] = {}
        for file in self.files.values():
            for block in file.blocks:
                if block.kind == "variable" and block.labels and "default" in block.attributes:
                    self.variables[block.labels[0]] = block.value("default")
                elif block.kind == "locals":
                    self.locals.update({name: value for name, (value, _) in block.attributes.items()})
        for path in paths:
            if path.rpartition("/")[2] in ("terraform.tfvars", "terraform.auto.tfvars"):
                given = parse(checkout.text(path))
                self.variables.update({name: value for name, (value, _) in given.attributes.items()})

    def units(self) -> Iterator[Unit]:
        """Yield the containers."""
        surface = Surface("terraform", self.folder or ".", aside=is_aside(f"{self.folder}/x"))
        for path, file in self.files.items():
            for block in file.blocks:
                if block.kind not in ("resource", "module") or not block.labels:
                    continue
                yield from self._definitions(surface, path, block)
                yield from self._pods(surface, path, block)

    def _definitions(self, surface: Surface, path: str, block: Block) -> Iterator[Unit]:
        """Yield ECS' container definitions, whatever attribute they stand in."""
        for name in ("container_definitions", "container_definition", "containers"):
            value = self.resolved(block.value(name))
            if isinstance(value, str):
                value = _json(_unquoted(value), block.attributes[name][1])
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Block):
                    yield self._container(surface, path, block, item, item.line)

    def _pods(self, surface: Surface, path: str, block: Block) -> Iterator[Unit]:
        """Yield the containers of the Kubernetes provider's blocks."""
        for pod in block.inner("spec", "template", "spec"):
            grace = whole(self.resolved(pod.value("termination_grace_period_seconds")))
            for container in pod.inner("container"):
                unit = self._container(surface, path, block, container, container.line)
                yield Unit(
                    **{
                        **vars(unit),
                        "grace": float(grace if grace is not None else 30),
                        "grace_is_default": grace is None,
                    }
                )

    def _container(self, surface: Surface, path: str, block: Block, item: Block, line: int) -> Unit:
        image = self.text(item.value("image"))
        stop = item.value("stopTimeout")
        environment = self._environment(item)
        command = run(
            self._words(item.value("entryPoint"))
            or (self._words(item.value("command")) if "args" in item.attributes else None),
            self._words(item.value("args")) or self._words(item.value("command")),
        )
        return Unit(
            surface=surface,
            name=shown(self.text(item.value("name")) or block.labels[-1]) if block.labels[-1:] else "?",
            command=command,
            location=Location(path, item.attributes["command"][1] if "command" in item.attributes else line),
            image=shown(image) if image else None,
            images=image_names(image),
            environment=environment,
            grace=float(stop) if isinstance(stop, int) else None,
            certain=UNKNOWN not in str(command),
        )

    def _environment(self, item: Block) -> dict[str, str]:
        found: dict[str, str] = {}
        entries = self.resolved(item.value("environment"))
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, Block):
                found[str(self.text(entry.value("name")))] = self.text(entry.value("value")) or ""
        if isinstance(entries, Block):
            found.update({name: self.text(value) or "" for name, (value, _) in entries.attributes.items()})
        for entry in item.inner("env"):
            found[str(self.text(entry.value("name")))] = self.text(entry.value("value")) or UNKNOWN
        return found

    def _words(self, value: object) -> tuple[str, ...] | None:
        value = self.resolved(value)
        if isinstance(value, list):
            return tuple(self.text(item) or UNKNOWN for item in value)
        if isinstance(value, Name | Call):
            return (UNKNOWN,)
        return ("sh", "-c", self.text(value) or "") if isinstance(value, str) else None

    def resolved(self, value: Any, depth: int = 0) -> Any:  # noqa: ANN401 HCL has values of any type
        """Return a value with variables, locals and jsonencode looked through."""
        if depth > MAX_DEPTH:
            return value
        if isinstance(value, Call):
            return self._called(value, depth)
        if isinstance(value, Name):
            kind, _, name = value.text.partition(".")
            holder = {"var": self.variables, "local": self.locals}.get(kind, {})
            if name in holder:
                return self.resolved(holder[name], depth + 1)
            return value
        return value

    def _called(self, call: Call, depth: int) -> Any:  # noqa: ANN401 HCL has values of any type
        arguments = [self.resolved(argument, depth + 1) for argument in call.arguments]
        if call.name in ("jsonencode", "tolist", "toset", "tostring", "yamlencode", "coalesce") and arguments:
            return arguments[0]
        if call.name == "join" and len(arguments) == 2 and isinstance(arguments[1], list):
            separator = self.text(arguments[0]) or ""
            return json.dumps(separator.join(self.text(item) or UNKNOWN for item in arguments[1]))
        if call.name == "concat":
            return [item for part in arguments for item in (part if isinstance(part, list) else [Name("concat")])]
        if call.name == "split" and len(arguments) == 2:
            return (self.text(arguments[1]) or UNKNOWN).split(self.text(arguments[0]) or ",")
        return call

    def text(self, value: Any) -> str | None:  # noqa: ANN401 HCL has values of any type
        """Return a text with its `${...}` replaced; UNKNOWN where it is not known."""
        value = self.resolved(value)
        if value is None:
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            return UNKNOWN
        raw = _unquoted(value)
        return re.sub(r"\$\{([^{}]*)\}", lambda match: self._interpolated(match[1]), raw)

    def _interpolated(self, inside: str) -> str:
        parsed = parse(f"x = {inside.strip()}\n").value("x")
        found = self.resolved(parsed)
        return UNKNOWN if isinstance(found, Name | Call | Block | list) or found is None else self.text(found) or ""


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text[1:-1])


def _json(text: str, line: int) -> list[Any]:
    """Return container definitions that are written as JSON, each as a block."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [_block_of(item, line) for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _block_of(value: dict[str, Any], line: int) -> Block:
    made = Block("", (), line)
    for name, item in value.items():
        if isinstance(item, list):
            parts: Any = [_block_of(part, line) if isinstance(part, dict) else part for part in item]
        else:
            parts = _block_of(item, line) if isinstance(item, dict) else item
        made.attributes[name] = (parts, line)
    return made


def units(checkout: Checkout) -> Iterator[Unit]:
    """Yield the containers of every module that speaks of containers."""
    folders: dict[str, list[str]] = {}
    for path in checkout.named("*.tf", "*.tfvars"):
        folders.setdefault(folder_of(path), []).append(path)
    for folder, paths in folders.items():
        if any(re.search(rb"celery|worker|queue", checkout.bytes_of(path), re.IGNORECASE) for path in paths):
            yield from Terraform(checkout, folder, paths).units()
