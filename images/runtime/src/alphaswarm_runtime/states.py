"""The two files by which the process tells its probes how it fares.

A probe must cost milliseconds and must not need Celery, so the worker writes and the probe only reads. Times are
CLOCK_MONOTONIC, which is one clock for every process of a machine: a corrected wall clock turns nothing red. Each
file is written beside its place and renamed into it, so that a reader never sees half of one.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIVE = "live"
READY = "ready"
DEFAULT_FOLDER = "/tmp/alphaswarm"  # noqa: S108  the only place a read-only root leaves; the pod mounts its own there


@dataclass(frozen=True)
class Verdict:
    """What a probe says: green or not, and why, in one line."""

    green: bool
    why: str


def folder(environ: Mapping[str, str]) -> Path:
    """Where the files live."""
    return Path(environ.get("ALPHASWARM_STATE_DIR") or DEFAULT_FOLDER)


@dataclass(frozen=True)
class StateFiles:
    """Writer of the files; `live_for` and `ready_for` are the seconds after which an unrenewed file is red."""

    folder: Path
    live_for: float
    ready_for: float

    def begin(self) -> None:
        """Make the folder, and remove what an earlier process left: its word is not ours."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (LIVE, READY):
            (self.folder / f"{name}.json").unlink(missing_ok=True)

    def live(self) -> None:
        """The event loop turned just now."""
        self._write(LIVE, green=True, why="", good_for=self.live_for)

    def ready(self) -> None:
        """The broker answered just now, and tasks are taken from it."""
        self._write(READY, green=True, why="", good_for=self.ready_for)

    def unready(self, why: str) -> None:
        """No task is taken now."""
        self._write(READY, green=False, why=why, good_for=self.ready_for)

    def _write(self, name: str, *, green: bool, why: str, good_for: float) -> None:
        text = json.dumps({"at": time.monotonic(), "for": good_for, "green": green, "why": why, "pid": os.getpid()})
        partial = self.folder / f"{name}.partial"
        partial.write_text(text)
        partial.replace(self.folder / f"{name}.json")


def read(place: Path, name: str) -> Verdict:
    """What the file says now. A missing or unreadable file is red."""
    file = place / f"{name}.json"
    try:
        state = json.loads(file.read_text())
        age, good_for = time.monotonic() - state["at"], state["for"]
    except FileNotFoundError:
        return Verdict(green=False, why=f"{name}: {file} is not there (yet): the process has not begun its work")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Verdict(green=False, why=f"{name}: {file} cannot be read: {error}")
    if not 0 <= age <= good_for:
        return Verdict(green=False, why=f"{name}: last sign {age:.1f} s ago, allowed are {good_for:g} s")
    if not state["green"]:
        return Verdict(green=False, why=f"{name}: {state['why']}")
    return Verdict(green=True, why=f"{name}: last sign {age:.1f} s ago")
