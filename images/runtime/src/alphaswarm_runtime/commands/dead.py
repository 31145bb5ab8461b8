"""`alphaswarm-runtime dead`: looks at dead letters, and requeues or drops them, each in one step."""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.transport import inspection, keys, scripts
from alphaswarm_runtime.transport.inspection import MessageInfo
from alphaswarm_runtime.type_aliases import Client


def run(client: Client, options: argparse.Namespace) -> None:
    """Run the action.

    Raises:
        ConfigurationError: there is no such queue, or nothing says which dead letters are meant.
    """
    queues = catalogue.load().queues
    if options.queue not in queues:
        raise ConfigurationError(
            f"queue {options.queue!r} is not in the catalogue, which has {', '.join(sorted(queues))}"
        )
    chosen = islice(_chosen(client, options), options.limit)
    if options.action == "show":
        sys.stdout.writelines(f"{letter.text}\n" for letter in chosen)
    elif options.action == "list":
        sys.stdout.writelines(f"{_line(letter)}\n" for letter in chosen)
    else:
        _require_choice(options)
        _end(client, options, list(chosen))


def _require_choice(options: argparse.Namespace) -> None:
    if not any((options.task, options.id, options.reason, options.older_than, options.limit, options.all)):
        raise ConfigurationError(
            f"which of the dead letters of {options.queue}? Choose with --task, --id, --reason, --older-than or "
            "--limit, or name --all."
        )


def _chosen(client: Client, options: argparse.Namespace) -> Iterator[MessageInfo]:
    for letter in inspection.dead_letters(client, options.queue):
        if options.task is not None and not fnmatchcase(letter.task or "", options.task):
            continue
        if options.id is not None and letter.id not in options.id:
            continue
        if options.reason is not None and options.reason not in _reason(letter):
            continue
        if options.older_than is not None and time.time() - letter.dead.get("at", 0.0) <= options.older_than:
            continue
        yield letter


def _end(client: Client, options: argparse.Namespace, letters: list[MessageInfo]) -> None:
    done = 0
    for letter in letters:
        if options.action == "requeue" and not letter.is_message:
            sys.stdout.write(f"left: {_line(letter)}\n")
            continue
        sys.stdout.write(f"{'would ' if options.dry_run else ''}{options.action}: {_line(letter)}\n")
        if not options.dry_run:
            lists = [keys.waiting_for(options.queue, letter.priority)] if options.action == "requeue" else []
            dead = keys.dead(options.queue)
            done += client.eval(scripts.END_DEAD, 1 + len(lists), dead, *lists, letter.text)
    ended = {"requeue": "requeued", "drop": "dropped"}[options.action]
    sys.stdout.write(f"{done} {ended}, {client.llen(keys.dead(options.queue))} left\n")


def _line(letter: MessageInfo) -> str:
    if not letter.is_message:
        return f"-  no message: {letter.text[:100]!r}"
    at = letter.dead.get("at")
    when = "-" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return f"{when}  {letter.id}  {letter.task}{letter.arguments}  {_reason(letter)}"


def _reason(letter: MessageInfo) -> str:
    return str(letter.dead.get("why", ""))
