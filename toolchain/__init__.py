"""The tools that servers and the engine are started from: found, downloaded, installed or built, and pinned.

    ensure(["etcd", "kube-apiserver"], progress)   paths by name; what is missing is had first
    ensure_in_background(names, progress)          the same without waiting: ask for each tool when it is needed
    find("etcd")                                   a path or None; nothing is built
    released_plugin("aws", "7.51.1")               a released provider, never a stand-in
    keda_config(progress)                          KEDA's own manifests, of the version that the tools have

Whatever cannot be had is said before the first long build begins, all at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.progress import Progress
from toolchain.background import Background, ensure_in_background
from toolchain.catalogue import named
from toolchain.keda_manifests import keda_config
from toolchain.locate import locate, released_language_host
from toolchain.plugins import released_plugin, try_install_plugin

__all__ = [
    "Background",
    "ensure",
    "ensure_in_background",
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
    with ensure_in_background(names, progress) as tools:
        return tools.wait()
