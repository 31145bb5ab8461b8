"""The command line. A failure is one line on standard error, never a traceback. Exit statuses: errors.py."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from alphaswarm_runtime import __version__, errors
from alphaswarm_runtime.settings.environment import split_names

EXIT_STATUSES = """\
exit status:
  0   ended as asked (after SIGTERM: every task finished or returned to its queue); probe: success
  1   probe: failure; send: a task failed, or was not done in time; worker: Celery ended it, the log says why
  64  the command line is wrong
  69  the broker did not answer within ALPHASWARM_BROKER_WAIT seconds
  78  a queue of another image, an unknown queue or application, or a setting that violates a constraint

The environment variables are described in the README of alphaswarm-runtime.
"""


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, with the exit status of sysexits.h for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, and exit."""
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


def build_parser() -> ArgumentParser:
    """Build the parser of all commands."""
    parser = ArgumentParser(
        prog="alphaswarm-runtime",
        description="Runs the Celery application named by CELERY_APP on the AlphaSwarm fleet.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=ArgumentParser, metavar="command")
    for name, summary in (
        ("worker", "consume queues of this image"),
        ("show", "print the effective settings, no secrets"),
    ):
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        command.add_argument(
            "--queues",
            type=split_names,
            metavar="a,b",
            help="queues of this image (default: ALPHASWARM_QUEUES, or all)",
        )
        command.add_argument(
            "--concurrency",
            type=_positive_integer,
            metavar="N",
            help="tasks at the same time (default: ALPHASWARM_CONCURRENCY, or the catalogue)",
        )
    commands.add_parser(
        "check",
        help="import the application, without a broker",
        description="Import the application and its task modules as a worker would, without a broker.",
    )
    commands.add_parser("beat", help="run the scheduler", description="Run the scheduler; only one sends at a time.")
    probe = commands.add_parser(
        "probe",
        help="check whether the process is live, or ready",
        description="Check a file that the process updates in ALPHASWARM_STATE_DIR; 0 is success, 1 is failure.",
    )
    probe.add_argument("probe", choices=("live", "ready"))
    _add_send(commands)
    _add_queues(commands)
    _add_dead(commands)
    return parser


def _add_send(commands: "argparse._SubParsersAction[ArgumentParser]") -> None:
    send = commands.add_parser(
        "send",
        help="send a task, and wait for its result if asked",
        description="Send a task to the queue that the application routes it to, and print its id and queue.",
    )
    send.add_argument("task", help="the task's name, such as alphaswarm.tasks.default_tasks.report")
    send.add_argument("--args", type=_list, default=[], metavar="JSON", help="positional arguments: a list")
    send.add_argument("--kwargs", type=_object, default={}, metavar="JSON", help="keyword arguments: an object")
    send.add_argument("--queue", metavar="NAME", help="this queue of the fleet, in place of the application's route")
    send.add_argument("--count", type=_positive_integer, default=1, metavar="N", help="send it so often (default: 1)")
    send.add_argument(
        "--wait",
        type=_positive_integer,
        metavar="SECONDS",
        help="print each result, waiting so long for all of them; exit 1 unless all succeeded",
    )


def _add_queues(commands: "argparse._SubParsersAction[ArgumentParser]") -> None:
    queues = commands.add_parser(
        "queues",
        help="show what every queue holds, and lists that nobody reads",
        description="Show what waits, runs, is parked and is dead in every queue of the fleet, and who runs it.",
    )
    queues.add_argument("--json", action="store_true", help="as JSON")


def _add_dead(commands: "argparse._SubParsersAction[ArgumentParser]") -> None:
    dead = commands.add_parser(
        "dead",
        help="list, show, requeue or drop dead letters",
        description="List, show, requeue or drop the dead letters of a queue, the oldest first.",
    )
    actions = dead.add_subparsers(dest="action", required=True, parser_class=ArgumentParser, metavar="action")
    for name, summary in (
        ("list", "a line for each"),
        ("show", "the messages themselves, as JSON lines"),
        ("requeue", "put them at the end of their queue, to be delivered as often as new ones"),
        ("drop", "delete them"),
    ):
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        action.add_argument("queue", help="the queue")
        action.add_argument("--task", metavar="NAME", help="only of this task; * and ? stand for others")
        action.add_argument("--id", metavar="ID", action="append", help="only the task of this id; may be repeated")
        action.add_argument("--reason", metavar="TEXT", help="only those whose reason has this text")
        action.add_argument(
            "--older-than", type=_positive_integer, metavar="SECONDS", help="only those dead for longer"
        )
        action.add_argument("--limit", type=_positive_integer, metavar="N", help="at most so many")
        if name in ("requeue", "drop"):
            action.add_argument("--all", action="store_true", help="all of the queue's, where no other option chooses")
            action.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return _dispatch(options)
    except errors.FleetError as error:
        sys.stderr.write(f"alphaswarm-runtime: {error}\n")
        return error.exit_status


def _dispatch(options: argparse.Namespace) -> int:
    if options.command == "probe":  # written as __main__ does not know it, `probe -- live`
        from alphaswarm_runtime.health import probe

        return probe.run(options.probe)
    if options.command == "check":
        from alphaswarm_runtime.commands import check
        from alphaswarm_runtime.settings import environment

        return check.run(environment.read(os.environ).app)
    from alphaswarm_runtime.settings.prepare import prepare

    if options.command == "beat":
        from alphaswarm_runtime.scheduler import beat

        return beat.run(prepare(consumes=False))
    if options.command in ("send", "queues", "dead"):
        from alphaswarm_runtime import commands

        return commands.run(prepare(consumes=False), options)
    prepared = prepare(options.queues, options.concurrency)
    if options.command == "show":
        from alphaswarm_runtime.commands import show

        sys.stdout.write(show.to_json(prepared) + "\n")
        return os.EX_OK
    from alphaswarm_runtime.worker import command

    return command.run(prepared)


def _positive_integer(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _list(text: str) -> object:
    return _json(text, list, '["SPY", 30]')


def _object(text: str) -> object:
    return _json(text, dict, '{"symbol": "SPY"}')


def _json(text: str, kind: type, example: str) -> object:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, kind):
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON such as {example}")
    return found
