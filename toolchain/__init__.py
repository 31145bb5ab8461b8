"""The tools that servers and the engine are started from: found, installed or built, and pinned.

    ensure(["etcd", "kube-apiserver"], progress)   paths by name; what is missing is had first
    find("etcd")                                   a path or None; nothing is built
    released_plugin("aws", "7.51.1")               a released provider, never a stand-in
    keda_config()                                  KEDA's own manifests, of the version that was built

Whatever cannot be had is said before the first long build begins, all at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import CommandError
from common.progress import Progress
from toolchain import build, debian
from toolchain.catalogue import ENGINES, Tool, named
from toolchain.locate import locate
from toolchain.plan import Plan, plan
from toolchain.plugins import released_language_host, released_plugin, try_install_plugin

__all__ = [
    "ensure",
    "find",
    "keda_config",
    "released_language_host",
    "released_plugin",
    "try_install_plugin",
]


def find(name: str) -> Path | None:
    """Where the tool stands, or None; nothing is built or installed."""
    found = locate(named([name])[0])
    return found.path if found else None


def ensure(names: Sequence[str], progress: Progress) -> Mapping[str, Path]:
    """Have every tool in `names`, and return where each stands."""
    tools = named(names)
    missing = [tool for tool in tools if locate(tool) is None]
    if missing:
        _have(missing, progress)
    return {tool.name: _certain(tool) for tool in tools}


def keda_config() -> Path:
    """The folder `config` of KEDA's source (CRDs, roles, webhooks); its tools must have been ensured."""
    keda = next(engine for engine in ENGINES if engine.name == "keda")
    folder = build.folder(keda) / "config"
    if not folder.is_dir():
        raise CommandError("KEDA is not built yet. Run: .venv/bin/python -m toolchain keda-operator")
    return folder


def _have(missing: Sequence[Tool], progress: Progress) -> None:
    todo = plan(missing, apt=debian.possible())
    build.check_space(todo.engines, progress)
    if todo.packages:
        todo = _install(todo, missing, progress)
    before = todo.steps - len(todo.engines)
    for number, engine in enumerate(todo.engines, before + 1):
        build.build(engine, progress, _count(number, todo.steps))


def _install(todo: Plan, missing: Sequence[Tool], progress: Progress) -> Plan:
    """Install the packages; where apt fails and every one of them can be built instead, plan the builds."""
    try:
        packages = [tool.debian for tool in todo.packages if tool.debian]
        debian.install(packages, progress, _count(1, todo.steps))
    except CommandError as refused:
        if any(tool.engine is None for tool in todo.packages):
            raise
        progress.say(f"      {refused}\n      building them instead")
        return plan(missing, apt=False)
    return todo


def _certain(tool: Tool) -> Path:
    found = locate(tool)
    if found is None:
        raise CommandError(
            f"{tool.name} was installed, yet what stands on PATH is not of a fitting version ({tool.version}). "
            f"Remove the old one, or put a newer {tool.name} before it on PATH."
        )
    return found.path


def _count(number: int, of: int) -> str:
    return f"{number} of {of}" if of > 1 else ""
