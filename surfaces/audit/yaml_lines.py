"""YAML whose texts know their lines, with the tags that Compose and CloudFormation add.

A key is a Text too: where a value has no line of its own (a number), the line is its key's.
"""

from collections.abc import Iterator
from typing import Any, Self

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]


Tree = Any  # what a document holds: mappings, sequences and scalars, in any shape


class Text(str):
    """A scalar's text and its line, from 1."""

    __slots__ = ("line",)
    line: int

    def __new__(cls, text: str, line: int = 1) -> Self:
        """Return the text with its line."""
        made = super().__new__(cls, text)
        made.line = line
        return made


class Mapping(dict[Any, Any]):
    """A mapping and the line it begins on."""

    line: int = 1
    tag: str = ""


class Sequence(list[Any]):
    """A sequence and the line it begins on."""

    line: int = 1
    tag: str = ""


class _Loader(SafeLoader):
    pass


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _text(_: Tree, node: yaml.ScalarNode) -> Text:
    return Text(node.value, _line(node))


def _mapping(loader: Tree, node: yaml.MappingNode) -> Iterator[Mapping]:
    made = Mapping()
    made.line = _line(node)
    made.tag = str(node.tag)
    yield made
    loader.flatten_mapping(node)
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        made[name if isinstance(name, str) else Text(str(name), _line(key))] = loader.construct_object(value, deep=True)


def _sequence(loader: Tree, node: yaml.SequenceNode) -> Iterator[Sequence]:
    made = Sequence()
    made.line = _line(node)
    made.tag = str(node.tag)
    yield made
    made.extend(loader.construct_object(item, deep=True) for item in node.value)


def _tagged(loader: Tree, _: str, node: yaml.Node) -> Tree:
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return _sequence(loader, node)
    return Text(str(node.value), _line(node))


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:value", _text)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _sequence)
_Loader.add_multi_constructor("!", _tagged)


class YamlError(ValueError):
    """A document cannot be read; `line` says where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def documents(text: str) -> list[Any]:
    """Return every document of a file.

    Raises:
        YamlError: it is no YAML.
    """
    try:
        return [document for document in yaml.load_all(str(text), Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise YamlError(" ".join(str(problem).split()), mark.line + 1 if mark else 1) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise YamlError(str(error) or type(error).__name__, 1) from error


def is_template(text: str) -> bool:
    """Whether a text is some tool's template, of Jinja or Go, and so not meant to be what its name says."""
    return "{{" in text or "{%" in text


def line_of(holder: object, key: str | None = None) -> int:
    """Return the line of a mapping's key, or of a value itself."""
    if key is not None and isinstance(holder, dict):
        for name in holder:
            if name == key and isinstance(name, Text):
                return name.line
    return int(getattr(holder, "line", 1))


def get(value: Tree, *path: str | int) -> Tree:
    """Return what stands below the path, or None."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def mappings(value: object) -> list[Mapping]:
    """Return the mappings of a list; of anything else, none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def mapping(value: object) -> Mapping:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else Mapping()
