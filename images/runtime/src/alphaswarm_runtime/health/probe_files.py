"""Writes the two files that the liveness and readiness probes check.

A probe must take milliseconds, so it cannot ask Celery: the worker writes, and the probe (probe.py) only reads.
Times are CLOCK_MONOTONIC, one clock for every process of a machine, so correcting the wall clock fails no probe.
Each file is written under another name and renamed, so a reader never sees half of one.

    <when it was written> <seconds it is valid for> <1 success, 0 failure> <reason, to the end of the line>
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health.probe import LIVE, READY
from alphaswarm_runtime.settings.environment import Environment

# How many heartbeats each file is valid for. A broker that hangs may block the event loop for some of them. A restart
# ends running tasks, so liveness is patient; a pod that is not ready loses nothing, so readiness is strict.
LIVE_HEARTBEATS = 12
READY_HEARTBEATS = 3


@dataclass(frozen=True)
class ProbeFiles:
    """Writer of the files. A probe fails `live_ttl` or `ready_ttl` seconds after the last update of its file."""

    directory: Path
    live_ttl: float
    ready_ttl: float

    def reset(self) -> None:
        """Make the directory, and remove the files of an earlier process.

        Raises:
            ConfigurationError: this user may not write there, so no probe would ever succeed.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.mark_not_ready("a directory that exists may still refuse to be written to")
            for name in (LIVE, READY):
                (self.directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"ALPHASWARM_STATE_DIR: given {str(self.directory)!r}, which this user cannot write to "
                f"({error.strerror}); name a directory that user {os.getuid()} may write to."
            ) from None

    def mark_live(self) -> None:
        """Record that the event loop runs."""
        self._write(LIVE, self.live_ttl, succeeded=True)

    def mark_ready(self) -> None:
        """Record that the broker answered, and that the worker consumes."""
        self._write(READY, self.ready_ttl, succeeded=True)

    def mark_not_ready(self, reason: str) -> None:
        """Record that the worker does not consume."""
        self._write(READY, self.ready_ttl, succeeded=False, reason=reason)

    def _write(self, name: str, ttl: float, *, succeeded: bool, reason: str = "") -> None:
        partial = self.directory / f"{name}.partial"
        partial.write_text(f"{time.monotonic()} {ttl} {succeeded:d} {' '.join(reason.split())}")
        partial.replace(self.directory / name)


def create(environment: Environment) -> ProbeFiles:
    """Create the writer for the environment's state directory and heartbeat."""
    heartbeat = environment.heartbeat
    return ProbeFiles(
        environment.state_dir, live_ttl=heartbeat * LIVE_HEARTBEATS, ready_ttl=heartbeat * READY_HEARTBEATS
    )
