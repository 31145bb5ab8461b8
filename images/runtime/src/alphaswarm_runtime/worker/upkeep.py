"""What a worker does for its queues beside running tasks: it keeps its lease, and returns messages to their lists."""

import logging
import time

from celery.worker import state
from redis.exceptions import ResponseError

from alphaswarm_runtime.transport import revocations
from alphaswarm_runtime.transport.ledger import count_all_messages, unpark
from alphaswarm_runtime.transport.takeover import take_over
from alphaswarm_runtime.type_aliases import Client
from alphaswarm_runtime.worker.context import WorkerContext
from alphaswarm_runtime.worker.lease import LeaseEndedError

logger = logging.getLogger("alphaswarm_runtime.worker.upkeep")

TAKEOVER_INTERVAL = 60.0  # seconds


class Upkeep:
    """The upkeep by one process."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._reclaim_at = 0.0  # CLOCK_MONOTONIC
        self._take_over_at = 0.0

    def begin(self) -> None:
        """Begin the lease, without which nothing is delivered, and return what the process before this one had.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        try:
            with self._context.redis.client() as client:
                self._context.lease.begin(client)
                self._learn_revocations(client)
                self._put_back_of_predecessor(client)
        except ResponseError as error:
            logger.warning("the broker refuses to begin a lease: %s", error)

    def run(self) -> None:
        """Do what is due. Call it every second or so: that is how late a parked message may be.

        Raises:
            LeaseEndedError: the lease has ended, or is about to and could not be renewed.
        """
        try:
            with self._context.redis.client() as client:
                self._context.lease.keep(client)
                self._acknowledge(client)
                unpark(client, self._context.profile.queue_names)
                self._reclaim(client)
                self._take_over(client)
        except ResponseError as error:
            logger.warning("the broker refuses to return messages: %s", error)
        except self._context.redis.errors as error:
            if isinstance(error, LeaseEndedError):
                raise
            logger.debug("the broker does not answer: %s", error)
        self._context.lease.check()

    def end(self) -> None:
        """End the lease: nobody need wait for what is left."""
        try:
            with self._context.redis.client() as client:
                self._acknowledge(client)
                self._context.ledger.end_lease(client)
        except self._context.redis.errors as error:
            logger.warning("the lease was not ended, it expires: %s", error)

    def update_gauges(self) -> None:
        """Measure the queues.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        metrics, names = self._context.metrics, self._context.profile.queue_names
        with self._context.redis.client() as client:
            counts = count_all_messages(client, names)
        for name, count in counts.items():
            metrics.set_waiting(name, count.waiting)
            metrics.set_running(name, count.running)
            metrics.set_parked(name, count.parked)

    def _acknowledge(self, client: Client) -> None:
        """Acknowledge what the broker did not take, or what ended while there was no connection."""
        unacknowledged = self._context.consuming.unacknowledged
        for tag, queue in list(unacknowledged.items()):
            self._context.ledger.ack(client, queue, tag)
            unacknowledged.pop(tag, None)

    def _put_back_of_predecessor(self, client: Client) -> None:
        predecessor, self._context.predecessor = self._context.predecessor, None
        if predecessor is None:
            return
        for queue in self._context.profile.queue_names:
            for tag in self._context.ledger.put_back_of(client, queue, predecessor):
                logger.warning("message %s of the process before this one (%s) goes back", tag, predecessor)

    def _reclaim(self, client: Client) -> None:
        if time.monotonic() < self._reclaim_at:
            return
        self._reclaim_at = time.monotonic() + self._context.environment.restore_interval
        for queue in self._context.profile.queue_names:
            for tag, owner in self._context.ledger.reclaim(client, queue):
                logger.warning("message %s goes back to queue %s: its owner %s is silent", tag, queue, owner)

    def _learn_revocations(self, client: Client) -> None:
        """Learn what was revoked while this process did not run; and again, since Celery forgets it after hours."""
        state.revoked.update(revocations.kept(client))
        for header, values in revocations.kept_stamps(client).items():
            known = state.revoked_stamps.setdefault(header, [])
            known += [value for value in values if value not in known]

    def _take_over(self, client: Client) -> None:
        if time.monotonic() < self._take_over_at:
            return
        self._take_over_at = time.monotonic() + TAKEOVER_INTERVAL
        self._learn_revocations(client)
        for tag in take_over(client, self._context.profile.queues, self._context.profile.image):
            logger.warning("message %s of an earlier release goes back to its queue", tag)
