"""The command line. Statuses: see errors.py. A failure is one line on standard error, never a traceback."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from alphaswarm_runtime import __version__, errors
from alphaswarm_runtime.environment import split

STATUSES = """\
exit status:
  0   ended as asked (after SIGTERM: every task finished or went back to its queue); probe: green
  1   probe: red; worker: Celery ended it, the log says why
  64  the command line is wrong
  69  the broker did not answer within ALPHASWARM_BROKER_WAIT seconds
  78  a queue of another image, an unknown queue or application, or a setting that breaks a law

The environment variables are described in the README of alphaswarm-runtime.
"""


class Parser(argparse.ArgumentParser):
    """Ends with the documented status for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message."""
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


def parser() -> Parser:
    """All commands and their help."""
    top = Parser(
        prog="alphaswarm-runtime",
        description="Runs the Celery application named by CELERY_APP on the AlphaSwarm fleet.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="command")
    for name, what in (("worker", "drain queues of this image"), ("show", "print the effective settings, no secrets")):
        command = commands.add_parser(name, help=what, description=what.capitalize() + ".")
        command.add_argument(
            "--queues", type=split, metavar="a,b", help="queues of this image (default: ALPHASWARM_QUEUES, or all)"
        )
        command.add_argument(
            "--concurrency",
            type=_positive,
            metavar="N",
            help="tasks at once (default: ALPHASWARM_CONCURRENCY, or the catalogue)",
        )
    commands.add_parser("beat", help="run the scheduler", description="Run the scheduler: exactly one sends at a time.")
    probe = commands.add_parser(
        "probe",
        help="say whether the process is alive, or ready",
        description="Read the files the process keeps under ALPHASWARM_STATE_DIR; 0 is green, 1 is red.",
    )
    probe.add_argument("what", choices=("live", "ready"))
    return top


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        return _dispatch(options)
    except errors.FleetError as failure:
        sys.stderr.write(f"alphaswarm-runtime: {failure}\n")
        return failure.exit_status


def _dispatch(options: argparse.Namespace) -> int:
    from alphaswarm_runtime.prepare import prepare

    if options.command == "beat":
        from alphaswarm_runtime import beat

        return beat.run(prepare())
    prepared = prepare(options.queues, options.concurrency)
    if options.command == "show":
        from alphaswarm_runtime import show

        sys.stdout.write(show.text(prepared) + "\n")
        return os.EX_OK
    from alphaswarm_runtime import worker

    return worker.run(prepared)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
