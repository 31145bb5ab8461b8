"""Runs a command, and measures its wall time and the processor time of all its processes, in seconds.

The engine kills its plugins at the end and does not wait for each, so their processor time would be missing. So on
Linux this process is a child subreaper: orphans of its descendants become its children, and it waits for them too.
Elsewhere only the children count that the command itself waited for, for both commands of a ratio.

It is a process of its own, since it waits for every child, and must have no others.
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
    """Run a command. The arguments are a file for its output, a file for the result, and the command."""
    output, result, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    began = time.monotonic()
    with Path(output).open("wb") as out:
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
