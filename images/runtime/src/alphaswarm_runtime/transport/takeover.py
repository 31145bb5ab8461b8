"""Takes back what a worker without this ledger left in flight: kombu's own, or an earlier release's.

These wrote messages as kombu does, `[message, exchange, routing key]` in a hash and the time of the fetch in a sorted
set, under kombu's own names or with the queue's or the image's name behind them. Such a worker may still run. So its
message comes back when kombu would return it too: after the queue's visibility timeout.
"""

import json
from collections.abc import Iterator, Mapping

from alphaswarm_runtime.settings.catalogue import Queue
from alphaswarm_runtime.transport import keys, scripts
from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import Client


def take_over(client: Client, queues: Mapping[str, Queue], image: str) -> Iterator[str]:
    """Return overdue messages of the queues to their lists, and move their dead letters under today's name.

    Yields:
        The delivery tag of each message that was returned.
    """
    now = float(client.time()[0])
    for suffix in ("", f":{image}", *(f":{name}" for name in queues)):
        unacked, index = f"unacked{suffix}", f"unacked_index{suffix}"
        fetched_at = {as_text(tag): score for tag, score in client.zrange(index, 0, -1, withscores=True)}
        for tag, entry in client.hgetall(unacked).items():
            message, _exchange, queue = json.loads(entry)
            if queue not in queues or fetched_at.get(as_text(tag), 0.0) + queues[queue].visibility_timeout > now:
                continue
            waiting = keys.waiting_for(queue, message["properties"].get("priority") or 0)
            if client.eval(scripts.TAKE_OVER, 3, unacked, index, waiting, tag, entry, json.dumps(message)):
                yield as_text(tag)
    for name in queues:
        while client.lmove(f"dead:{name}", keys.dead(name), "RIGHT", "LEFT"):
            continue
