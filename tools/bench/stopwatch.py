"""Runs one command and tells its wall time and the CPU time of everything it started, in seconds.

The engine kills its plugins at the end and does not wait for each, so their CPU time would be lost to us. On Linux this
process therefore adopts the orphans of its descendants, and waits for them too. Elsewhere only what the command itself
waited for is counted, on both sides of a ratio alike.

A process of its own, because waiting for every child means that there must be no others.
"""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>


def main() -> int:
    """Run the command that follows the name of the file for its output and of the file for the result."""
    said, result, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    began = time.monotonic()
    with Path(said).open("wb") as out:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
    wall = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(result).write_text(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "status": status}))
    return status


if __name__ == "__main__":
    sys.exit(main())
