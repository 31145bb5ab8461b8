"""`python -m alphaswarm_runtime`: probes are answered here, everything else is imported only when asked for.

A probe runs every few seconds in every pod; Celery takes hundreds of milliseconds to import, this file takes few.
"""

import os
import signal
import sys
from types import FrameType

from alphaswarm_runtime import exits


def main() -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "probe" and arguments[1] in ("live", "ready"):  # noqa: PLR2004
        return _probe(arguments[1])
    # As PID 1 a process has no default reaction to SIGTERM: while Celery is still being imported, a pod that is
    # not wanted any more would sit out its whole grace period, which is hours here.
    signal.signal(signal.SIGTERM, _leave)
    from alphaswarm_runtime.cli import run

    return run(arguments)


def _probe(name: str) -> int:
    from alphaswarm_runtime import states

    verdict = states.read(states.folder(os.environ), name)
    sys.stdout.write(verdict.why + "\n")
    return exits.OK if verdict.green else exits.RED


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(exits.OK)


if __name__ == "__main__":
    sys.exit(main())
