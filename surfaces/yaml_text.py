"""YAML that every reader understands alike.

A string is quoted unless it can be nothing but a string: PyYAML leaves `1e3` and `089` bare, which Kubernetes' parser
reads as numbers. Lists stand flush with their key, as `kubectl` and `kustomize edit` write them.
"""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from manifests import Manifest

WIDTH = 180
CERTAINLY_TEXT = re.compile(
    r"(?!(?i:y|n|yes|no|on|off|true|false|null|nan|inf)$)([A-Za-z/]|\.\./)[\w ./@%+~-]*|\$patch"
)


class Lines(str):
    """Text that is shown as it is, line by line."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Safe types only, no anchors, careful strings."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 the base class' signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if CERTAINLY_TEXT.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if isinstance(value, Lines) else style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Lines, _text)


def block(value: Any) -> str:  # noqa: ANN401 any plain data
    """`value` over several lines, keys in the order given."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=10_000, allow_unicode=True)


def items(values: Iterable[Any]) -> str:
    """A list with one item a line where it fits, without a final line break."""
    return "".join(_item(value) for value in values).rstrip("\n")


def _item(value: Any) -> str:  # noqa: ANN401 any plain data
    line = yaml.dump([value], Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=10_000)
    short = f"- {line.strip().removeprefix('[').removesuffix(']')}\n"
    return short if len(short) <= WIDTH else block([value])


def documents(header: str, objects: Iterable[Manifest]) -> str:
    """A file of Kubernetes objects under a comment."""
    return header + "---\n".join(block(found) for found in objects)
