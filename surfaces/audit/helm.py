"""Charts, rendered with their own values, and with each other file of values beside them.

A template that cannot be rendered without a cluster leaves UNKNOWN in the text. A document that is no YAML then is left
out, and if it speaks of Celery, its worker is one whose queues are not known.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from surfaces.audit.gotemplate import Node, Piece, Renderer, TemplateError, parse, plain
from surfaces.audit.kubernetes import Object, objects
from surfaces.audit.model import UNKNOWN, Location, Surface, Unit, Unreadable
from surfaces.audit.walk import Checkout, folder_of, is_aside
from surfaces.audit.yaml_lines import Mapping as Tree
from surfaces.audit.yaml_lines import Sequence, Text, YamlError, documents, is_template, mapping

_VALUES = re.compile(r"values?[-_.]([\w-]+)\.ya?ml|([\w-]+)[-_.]values\.ya?ml")
# What a document must hold for its container to be of interest; helpers alone are many.
_INTERESTING = re.compile(r"celery|worker|queue|beat|ScaledObject", re.IGNORECASE)


@dataclass
class Charts:
    """All charts of a checkout that are not within another."""

    checkout: Checkout
    unreadable: list[Unreadable] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folders = [folder_of(path) for path in self.checkout.named("Chart.yaml", "Chart.yml")]

    def holds(self, path: str) -> bool:
        """Whether a file belongs to a chart."""
        return any(path.startswith(f"{folder}/" if folder else "") for folder in self.folders)

    def surfaces(self) -> Iterator[tuple[Surface, list[Object], list[Unit]]]:
        """Yield each chart with each of its sets of values: its objects, and the workers that could not be read."""
        for folder in self.folders:
            if "/charts/" in f"/{folder}" and any(
                folder.startswith(f"{other}/charts/" if other else "charts/") for other in self.folders
            ):
                continue
            values = self._values(f"{folder}/values.yaml" if folder else "values.yaml")
            name = folder or "."
            yield self._surface(folder, name, values)
            for path in self._other_values(folder):
                yield self._surface(folder, path, _over(values, self._values(path)))

    def _other_values(self, folder: str) -> list[str]:
        return [
            path
            for path in self.checkout.paths
            if folder_of(path) in (folder, f"{folder}/values")
            and _VALUES.fullmatch(path.rpartition("/")[2])
            and not path.endswith("values.schema.yaml")
        ]

    def _values(self, path: str) -> dict[str, Any]:
        if path not in self.checkout.paths:
            return {}
        try:
            found = documents(self.checkout.text(path))
        except YamlError as error:
            if not is_template(self.checkout.text(path)):
                self.unreadable.append(Unreadable(Location(path, error.line), f"no YAML: {error}"))
            return {}
        return dict(mapping(found[0] if found else None))

    def _surface(self, folder: str, name: str, values: dict[str, Any]) -> tuple[Surface, list[Object], list[Unit]]:
        surface = Surface("helm", name, aside=is_aside(f"{folder}/x"))
        found: list[Object] = []
        unknown: list[Unit] = []
        self._chart(folder, values, surface, found, unknown)
        return surface, found, unknown

    def _chart(
        self, folder: str, values: dict[str, Any], surface: Surface, found: list[Object], unknown: list[Unit]
    ) -> None:
        chart = self._values(f"{folder}/Chart.yaml" if folder else "Chart.yaml")
        renderer = Renderer(_root(chart, values))
        templates = self._templates(folder)
        parsed: dict[str, list[Node]] = {}
        for path in templates:
            try:
                parsed[path] = parse(self.checkout.text(path))
                renderer.define(parsed[path])
            except TemplateError as error:
                self.unreadable.append(Unreadable(Location(path), f"no template: {error}"))
        for path, nodes in parsed.items():
            if path.endswith((".yaml", ".yml")) and _INTERESTING.search(self.checkout.text(path)):
                self._template(renderer, path, nodes, surface, found, unknown)
        for other in self.folders:
            parent, _, name = other.rpartition("/")
            if parent == (f"{folder}/charts" if folder else "charts"):
                own = self._values(f"{other}/values.yaml")
                given = values.get(name)
                shared = {"global": values.get("global", {})}
                inner = _over(_over(own, given if isinstance(given, dict) else {}), shared)
                if not isinstance(given, dict) or given.get("enabled", True):
                    self._chart(other, inner, surface, found, unknown)

    def _templates(self, folder: str) -> list[str]:
        start = f"{folder}/templates/" if folder else "templates/"
        return [
            path
            for path in self.checkout.paths
            if path.startswith(start) and path.endswith((".yaml", ".yml", ".tpl")) and "/tests/" not in path
        ]

    def _template(
        self,
        renderer: Renderer,
        path: str,
        nodes: list[Node],
        surface: Surface,
        found: list[Object],
        unknown: list[Unit],
    ) -> None:
        try:
            pieces = renderer.render(nodes)
        except (TemplateError, RecursionError):
            unknown.append(_unknown(surface, path, 1))
            return
        text, lines = _joined(pieces)
        for begin, document in _documents(text):
            try:
                trees = documents(document)
            except YamlError:
                if re.search(r"celery\b.*\bworker", document, re.DOTALL):
                    unknown.append(_unknown(surface, path, lines[min(begin, len(lines) - 1)]))
                continue
            found.extend(
                Object(mapping(_placed(item.tree, begin, lines)), path)
                for tree in trees
                for item in objects([tree], path)
            )


def _root(chart: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return what a template's dot is; the release has the name that `helm template` gives it."""
    return {
        "Values": plain(values),
        "Chart": {key[:1].upper() + key[1:]: value for key, value in plain(chart).items()},
        "Release": {"Name": "release-name", "Service": "Helm", "IsInstall": True, "IsUpgrade": False, "Revision": 1},
        "Capabilities": UNKNOWN,
        "Files": UNKNOWN,
        "Template": {"Name": UNKNOWN, "BasePath": "templates"},
    }


def _over(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in over.items():
        old = made.get(key)
        made[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


def _joined(pieces: list[Piece]) -> tuple[str, list[int]]:
    """Return the text, and for each of its lines the template's."""
    lines = [1]
    fresh = True
    for piece in pieces:
        for index, part in enumerate(piece.text.split("\n")):
            own = piece.line + (index if piece.text.count("\n") and not fresh else 0)
            if index:
                lines.append(piece.line + index)
                fresh = True
            if part.strip() and fresh:
                lines[-1] = own if index == 0 else piece.line + index
                fresh = False
    return "".join(piece.text for piece in pieces), lines


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """Yield each document with the index of its first line; UNKNOWN is no character of YAML and gets a stand-in."""
    begin = 0
    current: list[str] = []
    for number, line in enumerate(text.split("\n")):
        if line.startswith("---"):
            yield begin, "\n".join(current)
            begin, current = number + 1, []
        else:
            current.append(line.replace(UNKNOWN, _STAND_IN))
    yield begin, "\n".join(current)


_STAND_IN = "\ue000"  # private use: YAML takes it, and nobody writes it


def _placed(tree: object, begin: int, lines: list[int]) -> object:
    """Return a tree whose lines are the template's, and with UNKNOWN again."""

    def line(number: int) -> int:
        return lines[min(begin + number - 1, len(lines) - 1)]

    if isinstance(tree, Tree):
        made = Tree()
        made.line = line(tree.line)
        for key, value in tree.items():
            name = Text(key, line(key.line)) if isinstance(key, Text) else key
            made[name] = _placed(value, begin, lines)
        return made
    if isinstance(tree, Sequence):
        items = Sequence(_placed(item, begin, lines) for item in tree)
        items.line = line(tree.line)
        return items
    if isinstance(tree, Text):
        return Text(tree.replace(_STAND_IN, UNKNOWN), line(tree.line))
    return tree


def _unknown(surface: Surface, path: str, line: int) -> Unit:
    """Return a worker of which nothing is known but that it is there."""
    unit = Unit(surface, "worker", (), Location(path, line), certain=False)
    return replace(unit, environment={})
