"""The fleet on this machine: `python -m local up | preview | down | status`.

Every command may be interrupted and run again. Exit status: 0 done, 1 could not be done (one message says why), 2 the
command line is wrong, 130 interrupted; a failing `pulumi` hands on its own.
"""

import argparse
import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import CommandError
from common.exit_status import as_exit_status
from common.paths import this_checkout
from common.progress import Progress
from local.down import DESTROY_SECONDS, down
from local.lock import exclusive
from local.preview import preview
from local.status import status
from local.up import up
from local.workspace import Workspace

HEARTBEAT_IN_A_LOG = 60.0


def main() -> int:
    """Read the command line and do it."""
    arguments = _parser().parse_args()
    # Parts start side by side, and each gives signs of life: a log needs fewer of them than a person.
    progress = Progress() if sys.stderr.isatty() else Progress(heartbeat=HEARTBEAT_IN_A_LOG)
    workspace = Workspace(this_checkout(), progress)
    commands: dict[str, Callable[[], int]] = {
        "up": lambda: up(workspace),
        "down": lambda: down(workspace, force=arguments.force, timeout=arguments.timeout),
        "preview": lambda: preview(workspace, arguments.stack, arguments.pulumi),
    }
    with as_exit_status(interrupted="Interrupted. The same command goes on from here."), _full_disk_explained():
        if arguments.command == "status":
            return status(workspace)
        with exclusive(workspace.paths):
            return commands[arguments.command]()


@contextmanager
def _full_disk_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CommandError("The disk is full. Free some space, then run the same command again.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The AlphaSwarm fleet on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what stack `local` needs, and bring it up")
    shown = commands.add_parser("preview", help="preview a stack without an account or a cluster")
    shown.add_argument("stack", help="local, dev, staging or prod")
    shown.add_argument("pulumi", nargs="*", help="more arguments for pulumi, after --")
    ended = commands.add_parser("down", help="destroy the stack, and end what `up` started")
    ended.add_argument("--force", action="store_true", help="give up objects that cannot be destroyed")
    ended.add_argument(
        "--timeout",
        type=float,
        default=DESTROY_SECONDS,
        metavar="SECONDS",
        help="how long the destroy may take (%(default).0f)",
    )
    commands.add_parser("status", help="how the servers and the stack do")
    return parser


if __name__ == "__main__":
    sys.exit(main())
