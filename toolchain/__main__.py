"""`python -m toolchain`: show where each tool comes from, or have it.

python -m toolchain                      the same as --list
python -m toolchain NAME...              have these
python -m toolchain --group default      have what `make up` needs
python -m toolchain --list --group node  show one group
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import CommandError
from common.progress import Progress
from toolchain import debian, ensure
from toolchain.catalogue import DEFAULT_GROUPS, TOOLS, Group, Tool, named
from toolchain.locate import locate


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 with a sentence on standard error when a tool cannot be had."""
    asked = _parser().parse_args(arguments)
    try:
        tools = _selection(asked.names, asked.group)
        if asked.list or not (asked.names or asked.group):
            _show(tools)
        else:
            _show_paths(ensure([tool.name for tool in tools], Progress()))
    except CommandError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolchain", description="Have the pinned tools, or list them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tools to have")
    parser.add_argument("--group", choices=["all", "default", *Group], help="tools of a group")
    parser.add_argument("--list", action="store_true", help="only show where each comes from")
    return parser


def _selection(names: Sequence[str], group: str | None) -> list[Tool]:
    chosen = [*named(names), *(tool for tool in TOOLS if _in_group(tool, group))]
    return list(dict.fromkeys(chosen)) or list(TOOLS)


def _in_group(tool: Tool, group: str | None) -> bool:
    if group == "default":
        return tool.group in DEFAULT_GROUPS
    return group == "all" or tool.group == group


def _show(tools: Sequence[Tool]) -> None:
    width = max(len(tool.name) for tool in tools)
    for tool in tools:
        found = locate(tool)
        line = (
            f"{found.place:8} {found.version:10} {found.path}" if found else f"missing  {tool.version:10} {_way(tool)}"
        )
        print(f"{tool.group:9} {tool.name:{width}}  {line}")


def _way(tool: Tool) -> str:
    """How a missing tool would be had on this machine where its release, if there is one, cannot be downloaded."""
    if tool.debian and (debian.possible() or tool.engine is None):
        return f"Debian package {tool.debian.package}"
    if tool.engine:
        return f"Go module {tool.engine.module}, {tool.engine.usual} the first time"
    return f"PyPI package {tool.wheel}"


def _show_paths(paths: Mapping[str, Path]) -> None:
    for name, path in paths.items():
        print(f"{name} {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
