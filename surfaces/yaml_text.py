"""YAML that every parser reads alike.

A string is quoted unless it can be nothing but a string: PyYAML leaves `1e3` and `089` plain, which Kubernetes' parser
reads as numbers. Lists are not indented below their key, as `kubectl` and `kustomize edit` write them.
"""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from manifests import Manifest

WIDTH = 180
PLAIN_SCALAR = re.compile(r"(?!(?i:y|n|yes|no|on|off|true|false|null|nan|inf)$)([A-Za-z/]|\.\./)[\w ./@%+~-]*|\$patch")


class LiteralStr(str):
    """Text that is written in literal style (`|`)."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Safe types only, no anchors, strings quoted where in doubt."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 the base class' signature
        return True


def _represent_str(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if PLAIN_SCALAR.fullmatch(value) else '"'
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if isinstance(value, LiteralStr) else style
    )


_Dumper.add_representer(str, _represent_str)
_Dumper.add_representer(LiteralStr, _represent_str)


def dump_block(value: Any) -> str:  # noqa: ANN401 any plain data
    """Return `value` in block style, with keys in their own order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=10_000, allow_unicode=True)


def dump_items(values: Iterable[Any]) -> str:
    """Return a list with one item a line where it fits, without a final line break."""
    return "".join(_dump_item(value) for value in values).rstrip("\n")


def _dump_item(value: Any) -> str:  # noqa: ANN401 any plain data
    line = yaml.dump([value], Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=10_000)
    short = f"- {line.strip().removeprefix('[').removesuffix(']')}\n"
    return short if len(short) <= WIDTH else dump_block([value])


def dump_documents(header: str, objects: Iterable[Manifest]) -> str:
    """Return a file of Kubernetes objects below a comment."""
    return header + "---\n".join(dump_block(manifest) for manifest in objects)
