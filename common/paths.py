"""Where things lie: the checkout's own state, and the cache that all checkouts share.

State belongs to one checkout, so two of them never meet. Tools belong to nobody: they are found by the hash
of what they were built from, and building them once serves every checkout of this user.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The folders of one checkout. `state` is git-ignored and safe to delete once `make down` has run."""

    checkout: Path

    @property
    def state(self) -> Path:
        """Everything this checkout made: run files, logs, Pulumi's state, generated configuration."""
        return self.checkout / ".local"

    @property
    def run(self) -> Path:
        """Pid files, ports, sockets, certificates."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        """One file a daemon."""
        return self.state / "logs"

    @property
    def bin(self) -> Path:
        """Commands that this checkout puts first on the engine's PATH."""
        return self.state / "bin"


def this_checkout() -> Paths:
    """Return the checkout this package was imported from."""
    return Paths(Path(__file__).resolve().parent.parent)


def cache() -> Path:
    """Return the tool cache: `ALPHASWARM_CACHE`, else `$XDG_CACHE_HOME/alphaswarm-fleet`, else in the home folder."""
    if explicit := os.environ.get("ALPHASWARM_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "alphaswarm-fleet"


def as_typed(path: Path) -> str:
    """Return the path as one would type it in the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def private_folder(path: Path) -> Path:
    """Make the folder if need be, readable by its owner alone, and return it: keys and passwords lie under it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
