"""Tells the scaler which share of a slot each task needs, so that none waits for longer than a stack promises.

A slot is a task that a pod runs at once. Where tasks run for 6 s on the average and 60 s are promised, ten of them can
wait for one slot: the share is 10 %. Tasks that run for as long as may be waited, or longer, need one each.

The average needs no word from the workers (Little's law): it is the time that tasks ran, summed up, divided by how many
ended. Those that still run have their time in the sum already, so it errs to the long side at first. Both numbers are
read from what the queue's keys count anyway, and forget what is older than the last MEMORY tasks.
"""

from collections.abc import Mapping

from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.scheduler.scaler_numbers import set_number
from alphaswarm_runtime.transport import keys, scripts
from alphaswarm_runtime.type_aliases import Client

MEMORY = 200  # tasks
ENOUGH = 10  # tasks that must have ended before their average counts
GAP = 60.0  # seconds between two looks, beyond which nobody knows what happened between them
KEPT = 7 * 24 * 3600  # seconds, of what was measured
SHARE_KEPT = 600  # seconds: without beat, each task soon gets a slot


class SlotShares:
    """The shares of the queues with a promised wait, in seconds by queue."""

    def __init__(self, target_waits: Mapping[str, int], metrics: Metrics) -> None:
        self._target_waits = target_waits
        self._metrics = metrics

    def update(self, client: Client) -> None:
        """Measure each queue, and set its share."""
        for queue, target in self._target_waits.items():
            names = [keys.run_times(queue), keys.taken(queue), keys.unacked(queue), keys.parked(queue)]
            busy, tasks = map(float, client.eval(scripts.MEASURE, len(names), *names, int(GAP * 1000), MEMORY, KEPT))
            seconds = busy / 1000 / tasks if tasks >= ENOUGH else None
            set_number(client, keys.share(queue), share(seconds, target), SHARE_KEPT)
            if seconds is not None:
                self._metrics.set_mean_runtime(queue, seconds)


def share(seconds: float | None, target: float) -> int:
    """Return the per cent of a slot for tasks of an average run time, from 1 to 100; 100 while that is not known."""
    if seconds is None:
        return 100
    return min(100, max(1, -int(-100 * seconds // target)))
