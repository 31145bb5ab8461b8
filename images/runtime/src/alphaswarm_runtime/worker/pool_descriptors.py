"""Descriptors that Celery's pool still knows of dead processes, put right before it watches them on a new connection.

The pool keeps its processes by the numbers of their descriptors, and the system gives a free number to whoever opens
something next: a pipe of the next process, or a connection of another thread.
"""

import os
from collections.abc import Iterable

from alphaswarm_runtime.type_aliases import Pool, PoolProcess


def pool_processes(pool: Pool) -> tuple[PoolProcess, ...]:
    """Return the processes of the prefork pool; none before it is started."""
    return tuple(getattr(getattr(pool, "_pool", None), "_pool", None) or ())


def watch_exited_again(pool: Pool) -> None:
    """Let the pool watch processes that exited and were not reaped yet, as it does with new ones.

    The pool polls such a process on a timer and no longer watches its file descriptor. If the connection is made anew
    meanwhile, it registers the missing descriptor and ends the worker ("file descriptor is None").
    """
    for process in pool_processes(pool):
        if getattr(process, "_sentinel_poll", process) is None:
            del process._sentinel_poll  # noqa: SLF001


def forget_dead(pool: Pool) -> None:
    """Let the pool forget through which descriptor it heard a process that is gone.

    It does not when that process was given a task and died. When the number has become the end of another pipe, from
    which the next process reads its tasks, the pool reads them itself on the next connection, and nobody runs them.
    """
    processes = pool_processes(pool)
    if not processes:
        return
    heard = pool._pool._fileno_to_outq  # noqa: SLF001
    for descriptor, process in list(heard.items()):
        if process not in processes or process.outqR_fd != descriptor:
            del heard[descriptor]


def close_of_dead(pool: Pool, known: Iterable[PoolProcess]) -> None:
    """Close what told the pool of the end of those of `known` that are gone.

    It does not when such a process was given a task: a descriptor would stay open for each that a lost connection
    cancels, and a worker has no more of them after some hundreds.
    """
    processes = pool_processes(pool)
    for process in known:
        sentinel = getattr(process, "_sentinel_poll", None)
        if sentinel is not None and process not in processes:
            process._sentinel_poll = None  # noqa: SLF001
            pool._pool.hub_remove(sentinel)  # noqa: SLF001
            os.close(sentinel)
