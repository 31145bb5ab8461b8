"""`alphaswarm-runtime send`: sends a task as the application itself would, and can wait for its result."""

import argparse
import difflib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from celery.exceptions import TimeoutError as ResultTimeoutError
from kombu.exceptions import OperationalError

from alphaswarm_runtime.errors import EX_FAILURE, BrokerUnreachableError, ConfigurationError
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.type_aliases import App


def run(app: App, options: argparse.Namespace) -> int:
    """Send the task as often as asked, print a line for each, and return the exit status.

    Raises:
        BrokerUnreachableError: the broker does not take it.
        ConfigurationError: the application has no such task, or its queue is none of the fleet's.
    """
    queue = _queue(app, options)
    try:
        sent = [app.send_task(options.task, options.args, options.kwargs, queue=queue) for _ in range(options.count)]
    except (OperationalError, RuntimeError) as error:  # the latter of the result store, which is asked first
        reason = " ".join(str(error).split())
        raise BrokerUnreachableError(f"the broker or the result store does not answer: {reason}") from None
    if options.wait is None:
        sys.stdout.writelines(f"{one.id} {queue}\n" for one in sent)
        return 0
    failed = 0
    for line, done in _results(sent, queue, options.wait):
        sys.stdout.write(line)
        sys.stdout.flush()
        failed += not done
    return EX_FAILURE if failed else 0


def _queue(app: App, options: argparse.Namespace) -> str:
    """Return the queue that the task goes to: the one asked for, or where the application routes it."""
    if options.task not in app.tasks:
        close = difflib.get_close_matches(options.task, app.tasks, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        own = sorted(name for name in app.tasks if not name.startswith("celery."))
        raise ConfigurationError(f"the application has no task {options.task!r}{meant}; it has {', '.join(own)}.")
    route = app.amqp.router.route({}, options.task, options.args, options.kwargs)
    name = options.queue or str(getattr(route.get("queue"), "name", route.get("queue")))
    known = catalogue.load().queues
    if name not in known:
        raise ConfigurationError(f"no image drains queue {name!r}; the fleet's queues are {', '.join(sorted(known))}.")
    return name


def _results(sent: list[Any], queue: str, wait: int) -> Iterator[tuple[str, bool]]:
    """Yield a line for each task once it has ended, or the time is up, and whether it succeeded."""
    end = time.monotonic() + wait
    for one in sent:
        try:
            value = one.get(timeout=max(end - time.monotonic(), 0.01), propagate=False, disable_sync_subtasks=False)
        except ResultTimeoutError:
            yield f"{one.id} {queue} {one.state}, not done after {wait} s\n", False
            continue
        succeeded = one.state == "SUCCESS"
        text = json.dumps(value, default=str) if succeeded else f"{type(value).__name__}: {value}"
        yield f"{one.id} {queue} {one.state} {text}\n", succeeded
