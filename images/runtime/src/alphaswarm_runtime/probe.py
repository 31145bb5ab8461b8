"""The reader of the probes' files (states.py). It runs every few seconds in every pod, so it imports next to nothing.

No dataclass, path or JSON here: each of their modules costs more than all the rest of a probe.
"""

import os
import time

LIVE = "live"
READY = "ready"
DEFAULT_FOLDER = "/tmp/alphaswarm"  # noqa: S108  a read-only root leaves little else; the pod mounts its own there


def folder() -> str:
    """Where the files are."""
    return os.environ.get("ALPHASWARM_STATE_DIR") or DEFAULT_FOLDER


def read(place: str, name: str) -> tuple[bool, str]:
    """Whether the state is green now, and why, in one line. A missing or unreadable file is red."""
    file = os.path.join(place, name)  # noqa: PTH118
    try:
        with open(file) as lines:  # noqa: PTH123
            at, good_for, green, *why = lines.read().split(" ", 3)
        age, allowed = time.monotonic() - float(at), float(good_for)
    except FileNotFoundError:
        return False, f"{name}: {file} is not there (yet): the process has not begun its work"
    except (OSError, ValueError) as error:
        return False, f"{name}: {file} cannot be read: {error}"
    if not 0 <= age <= allowed:
        return False, f"{name}: last sign {age:.1f} s ago, allowed are {allowed:g} s"
    if green != "1":
        return False, f"{name}: {' '.join(why)}"
    return True, f"{name}: last sign {age:.1f} s ago"
