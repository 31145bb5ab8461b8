"""Checks a probe's file (probe_files.py writes it). It runs every few seconds in every pod, so it imports very little.

No dataclass, pathlib or JSON here: importing any of them costs more than the rest of a probe.
"""

import os
import sys
import time

from alphaswarm_runtime import errors

LIVE = "live"
READY = "ready"
DEFAULT_STATE_DIR = "/tmp/alphaswarm"  # noqa: S108  a read-only root leaves little else; the pod mounts its own there


def state_dir() -> str:
    """Return the directory of the probes' files."""
    return os.environ.get("ALPHASWARM_STATE_DIR") or DEFAULT_STATE_DIR


def run(name: str) -> int:
    """Print what a probe finds, and return the command's exit status."""
    succeeded, message = check(state_dir(), name)
    sys.stdout.write(message + "\n")
    return os.EX_OK if succeeded else errors.EX_FAILURE


def check(directory: str, name: str) -> tuple[bool, str]:
    """Check the file of a probe. A file that is missing or cannot be read is a failure.

    Returns:
        Whether the probe succeeds, and one line that says why.
    """
    file = os.path.join(directory, name)  # noqa: PTH118
    try:
        with open(file) as stream:  # noqa: PTH123
            written_at, ttl, succeeded, *reason = stream.read().split(" ", 3)
        age, allowed = time.monotonic() - float(written_at), float(ttl)
    except FileNotFoundError:
        return False, f"{name}: {file} does not exist (yet): the process has not started its work"
    except (OSError, ValueError) as error:
        return False, f"{name}: {file} cannot be read: {error}"
    if not 0 <= age <= allowed:
        return False, f"{name}: last update {age:.1f} s ago, allowed are {allowed:g} s"
    if succeeded != "1":
        return False, f"{name}: {' '.join(reason)}"
    return True, f"{name}: last update {age:.1f} s ago"
