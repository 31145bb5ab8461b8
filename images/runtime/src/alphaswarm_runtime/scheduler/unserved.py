"""Says which lists of messages nobody reads: of a sender that was not configured, a misspelt queue, a retired one."""

import logging
import time

from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.settings import catalogue
from alphaswarm_runtime.transport import inspection
from alphaswarm_runtime.transport.broker import RedisConnection

logger = logging.getLogger("alphaswarm_runtime.scheduler.unserved")

INTERVAL = 60.0  # seconds: the search reads the names of all keys


class UnservedWatch:
    """The search, repeated. A list is logged when it is found, and when it is gone."""

    def __init__(self, redis: RedisConnection, metrics: Metrics) -> None:
        self._redis = redis
        self._metrics = metrics
        self._search_at = 0.0  # CLOCK_MONOTONIC
        self._known: set[str] = set()

    def search(self) -> None:
        """Search when it is time to.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        if time.monotonic() < self._search_at:
            return
        self._search_at = time.monotonic() + INTERVAL
        with self._redis.client() as client:
            found = inspection.unserved(client, catalogue.load().queues)
        for queue in self._known - set(found):
            logger.info("nothing waits in %r any more", queue)
            self._metrics.set_unserved(queue, 0)
        for queue, messages in found.items():
            if queue not in self._known:
                logger.warning("nobody reads queue %r, in which %d messages wait", queue, messages)
            self._metrics.set_unserved(queue, messages)
        self._known = set(found)
