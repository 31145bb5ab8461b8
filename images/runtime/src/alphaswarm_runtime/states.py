"""The two files by which the process tells its probes how it fares.

A probe must cost milliseconds and must not need Celery, so the worker writes and the probe (probe.py) only reads.
Times are CLOCK_MONOTONIC, which is one clock for every process of a machine: a corrected wall clock turns nothing
red. Each file is written beside its place and renamed into it, so that a reader never sees half of one.

    <when it was written> <seconds it is good for> <1 green, 0 red> <why, to the end of the line>
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.probe import LIVE, READY


@dataclass(frozen=True)
class StateFiles:
    """Writer of the files; `live_for` and `ready_for` are the seconds after which an unrenewed file is red."""

    folder: Path
    live_for: float
    ready_for: float

    def begin(self) -> None:
        """Make the folder, and remove what an earlier process left: its word is not ours.

        Raises ConfigurationError where this user may not write: without these files no probe is ever green.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.unready("a folder that exists may still refuse to be written to")
            for name in (LIVE, READY):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"ALPHASWARM_STATE_DIR: given {str(self.folder)!r}, which this user cannot write to "
                f"({error.strerror}); name a folder that user {os.getuid()} may write to."
            ) from None

    def live(self) -> None:
        """The event loop turned just now."""
        self._write(LIVE, self.live_for, green=True, why="")

    def ready(self) -> None:
        """The broker answered just now, and tasks are taken from it."""
        self._write(READY, self.ready_for, green=True, why="")

    def unready(self, why: str) -> None:
        """No task is taken now."""
        self._write(READY, self.ready_for, green=False, why=why)

    def _write(self, name: str, good_for: float, *, green: bool, why: str) -> None:
        partial = self.folder / f"{name}.partial"
        partial.write_text(f"{time.monotonic()} {good_for} {green:d} {' '.join(why.split())}")
        partial.replace(self.folder / name)
