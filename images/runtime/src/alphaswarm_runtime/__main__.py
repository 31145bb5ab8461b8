"""`python -m alphaswarm_runtime`: answers probes here, and imports everything else only when it is needed.

A probe runs every few seconds in every pod. Importing Celery takes hundreds of milliseconds, this file takes few.
"""

import os
import sys

PROBES = (["probe", "live"], ["probe", "ready"])


def main() -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:]
    if arguments in PROBES:
        from alphaswarm_runtime.health import probe

        return probe.run(arguments[1])
    _exit_on_sigterm()
    from alphaswarm_runtime.cli import run

    return run(arguments)


def _exit_on_sigterm() -> None:
    """Exit at once on SIGTERM, while there is nothing to lose.

    The kernel gives PID 1 no default action for SIGTERM. A pod that is deleted while Celery is still being imported
    would wait for the end of its grace period, which is hours here. The worker installs its own handler later.
    """
    import signal

    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(os.EX_OK))


if __name__ == "__main__":
    sys.exit(main())
