"""A Celery application that says what the event loop calls in every turn, and whose lease cannot begin for a while."""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorators have no types.)

import os
from typing import Any

from alphaswarm_runtime.worker.upkeep import Upkeep
from celery import Celery
from celery.worker.control import inspect_command
from redis.exceptions import ConnectionError as RedisConnectionError

app = Celery("reconnects")
begin = Upkeep.begin
failures = iter(range(int(os.environ.get("RECONNECTS_FAIL", "0"))))


def begin_later(upkeep: Upkeep) -> None:
    """Begin the lease; the first times the broker is lost at that moment."""
    if next(failures, None) is not None:
        raise RedisConnectionError("lost as the lease begins")
    begin(upkeep)


@inspect_command(name="ticks")
def ticks(state: Any) -> int:  # noqa: ANN401 the worker's
    """Count the functions."""
    return len(state.consumer.hub.on_tick)


Upkeep.begin = begin_later  # type: ignore[assignment]
