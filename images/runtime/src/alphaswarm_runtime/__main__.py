"""`python -m alphaswarm_runtime`: probes are answered here, everything else is imported only when asked for.

A probe runs every few seconds in every pod; Celery takes hundreds of milliseconds to import, this file takes few.
"""

import os
import sys

from alphaswarm_runtime import errors

PROBES = (["probe", "live"], ["probe", "ready"])


def main() -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:]
    if arguments in PROBES:
        return _probe(arguments[1])
    _leave_on_sigterm()
    from alphaswarm_runtime.cli import run

    return run(arguments)


def _probe(name: str) -> int:
    from alphaswarm_runtime import probe

    green, why = probe.read(probe.folder(), name)
    sys.stdout.write(why + "\n")
    return os.EX_OK if green else errors.EX_FAILURE


def _leave_on_sigterm() -> None:
    """End at once while there is nothing to lose.

    As PID 1 a process has no default reaction to SIGTERM: a pod that is not wanted any more while Celery is still
    being imported would sit out its whole grace period, which is hours here. The worker puts its own in place later.
    """
    import signal

    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(os.EX_OK))


if __name__ == "__main__":
    sys.exit(main())
