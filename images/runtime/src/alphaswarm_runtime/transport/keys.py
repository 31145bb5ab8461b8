"""The names of a queue's keys in Redis. The hash tag in braces puts them in the slot of the queue's own list.

    <queue>, <queue>SEP3, ...   lists of waiting messages, one for each priority step; senders write to them
    unacked:{<queue>}           hash: delivery tag to a message in flight, with its list, owner and deadline
    lease:{<queue>}:<owner>     is there while the owner lives
    parked:{<queue>}            sorted set: message to when it is due
    dead:{<queue>}              list of dead letters
    taken:{<queue>}             hash: each of its lists to how many messages left it at its front
    arrivals:{<queue>}:<step>   sorted set: when messages came to one of its lists, by how many had come
    floor:{<queue>}             list: as many items as a session of an exchange asks for pods; beat keeps it
    share:{<queue>}             list: as many items as a task needs per cent of a slot; beat keeps it
    run_times:{<queue>}         hash: what beat measured for that

All times in them are milliseconds since 1970 by the server's clock.
"""

import bisect
from collections.abc import Sequence

SEP = "\x06\x16"  # kombu's: between a queue's name and a priority step
PRIORITY_STEPS = (0, 3, 6, 9)  # kombu's; 0 is the highest, and what a message without a priority has


def waiting(queue: str, step: int = 0) -> str:
    """Return the list of the messages that wait with the priority `step`."""
    return f"{queue}{SEP}{step}" if step else queue


def waiting_for(queue: str, priority: int) -> str:
    """Return the list to which kombu sends a message of that priority."""
    return waiting(queue, PRIORITY_STEPS[bisect.bisect(PRIORITY_STEPS, priority) - 1])


def all_waiting(queues: Sequence[str]) -> list[str]:
    """Return all lists of the queues in the order in which they are read: by priority, then by queue."""
    return [waiting(queue, step) for step in PRIORITY_STEPS for queue in queues]


def all_of(queue: str) -> list[str]:
    """Return all keys that hold messages of the queue."""
    return [*all_waiting([queue]), unacked(queue), parked(queue), dead(queue)]


def unacked(queue: str) -> str:
    """Return the hash of the messages in flight."""
    return f"unacked:{{{queue}}}"


def lease(queue: str, owner: str) -> str:
    """Return the key that is there while the owner lives."""
    return f"lease:{{{queue}}}:{owner}"


def parked(queue: str) -> str:
    """Return the sorted set of the messages that are not due yet."""
    return f"parked:{{{queue}}}"


def taken(queue: str) -> str:
    """Return the hash of how many messages left each of the queue's lists."""
    return f"taken:{{{queue}}}"


def arrivals(queue: str, step: int) -> str:
    """Return the sorted set of the times at which messages came to a list."""
    return f"arrivals:{{{queue}}}:{step}"


def floor(queue: str) -> str:
    """Return the list whose length is the number of pods that a session asks for."""
    return f"floor:{{{queue}}}"


def share(queue: str) -> str:
    """Return the list whose length is the share of a slot, in per cent, that a task needs."""
    return f"share:{{{queue}}}"


def run_times(queue: str) -> str:
    """Return the hash of the time that the queue's tasks ran, and how many ended."""
    return f"run_times:{{{queue}}}"


def dead(queue: str) -> str:
    """Return the list of the dead letters."""
    return f"dead:{{{queue}}}"
