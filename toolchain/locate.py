"""Where a tool stands now: on PATH, in the tool cache, among Pulumi's plugins or in the venv. Builds nothing."""

import sys
from dataclasses import dataclass
from pathlib import Path

from toolchain import build, plugins, releases
from toolchain.catalogue import BY_NAME, Tool
from toolchain.search import acceptable, on_path


@dataclass(frozen=True)
class Found:
    """A tool that can be started, its version as far as known, and the place in a word."""

    path: Path
    version: str
    place: str


def locate(tool: Tool) -> Found | None:
    """The first place that has the tool in a fitting version."""
    for place in (_plugin, _machine, _venv, _cache):
        if found := place(tool):
            return found
    return None


def _plugin(tool: Tool) -> Found | None:
    if not tool.plugin:
        return None
    path = plugins.released_plugin(tool.name.removeprefix(plugins.PREFIX), tool.version)
    return Found(path, tool.version, "plugins") if path else None


def _machine(tool: Tool) -> Found | None:
    if tool.accept is None:
        return None
    path = on_path(tool.name)
    version = acceptable(path, tool.accept) if path else None
    return Found(path, version, "PATH") if path and version else None


def _venv(tool: Tool) -> Found | None:
    if tool.wheel is None:
        return None
    path = Path(sys.prefix) / "bin" / tool.name
    return Found(path, tool.version, "venv") if path.exists() else None


def _cache(tool: Tool) -> Found | None:
    if tool.engine is None:
        return None
    path = releases.find(tool.engine, tool.name) or build.find(tool.engine, tool.name)
    return Found(path, tool.version, "cache") if path else None


def released_language_host() -> Path | None:
    """`pulumi-language-python` as it comes with the released CLI: on PATH, or beside the CLI that was downloaded."""
    name = "pulumi-language-python"
    if (own := on_path(name)) is not None:
        return own
    cli = locate(BY_NAME["pulumi"])
    beside = cli.path.with_name(name) if cli else None
    return beside if beside and beside.exists() else None
