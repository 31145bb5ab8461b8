"""Finds the machine's own commands, and never our own copies of them.

A checkout puts links to built tools and stand-in plugins first on the engine's PATH. If those counted as the
machine's own, an old build would shadow the one that the pins name now; so whatever resolves into a checkout's
state folder, this repository or the tool cache is passed over.
"""

import os
import re
import subprocess
from pathlib import Path

from common import paths
from toolchain.catalogue import Accept

# Debian keeps servers in sbin, which a plain user's PATH may lack.
_USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin")


def on_path(name: str) -> Path | None:
    """Return the machine's own command `name`, or None."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_USUAL_FOLDERS]
    for folder in folders:
        candidate = Path(folder) / name
        if folder and _runnable(candidate) and not _ours(candidate):
            return candidate
    return None


def acceptable(command: Path, accept: Accept) -> str | None:
    """Return the version that `command` prints when it fits the rule, else None."""
    try:
        answer = subprocess.run([command, *accept.probe], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+(?:\.\d+)+", answer.stdout + answer.stderr)
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[0].split("."))
    fits = numbers >= accept.lowest and (accept.below is None or numbers < accept.below)
    return match[0] if fits else None


def _runnable(candidate: Path) -> bool:
    return candidate.is_file() and os.access(candidate, os.X_OK)


def _ours(candidate: Path) -> bool:
    roots = (paths.cache(), paths.this_checkout().checkout / "offline", paths.this_checkout().state)
    places = (candidate.absolute(), candidate.resolve())
    return any(place.is_relative_to(root) for place in places for root in (*roots, *(r.resolve() for r in roots)))
