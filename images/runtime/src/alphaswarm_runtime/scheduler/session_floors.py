"""Tells the scaler for how many pods a session of an exchange asks: as a number of items in a list of Redis.

A list ends with its session, whoever lives then. While beat is away at an opening, a queue has the pods that its work
asks for.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.scheduler.scaler_numbers import set_number
from alphaswarm_runtime.settings.exchange_calendar import Session
from alphaswarm_runtime.settings.queue_scaling import SessionFloor
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.type_aliases import Client

logger = logging.getLogger("alphaswarm_runtime.scheduler.session_floors")


class SessionFloors:
    """The floors of the queues that have one."""

    def __init__(self, floors: Mapping[str, SessionFloor], metrics: Metrics) -> None:
        self._floors = floors
        self._metrics = metrics
        self._open: dict[str, Session | None] = {}

    def update(self, client: Client, now: datetime | None = None) -> None:
        """Set each queue's floor.

        Args:
            client: sends the requests.
            now: with a time zone; the server's time by default.
        """
        if not self._floors:
            return
        moment = now or datetime.fromtimestamp(client.time()[0], UTC)
        for queue, floor in self._floors.items():
            session = floor.calendar.session_at(moment, floor.before, floor.after)
            replicas = floor.min_replicas if session else 0
            rest = (session.closes + floor.after - moment).total_seconds() if session else 0
            set_number(client, keys.floor(queue), replicas, rest)
            self._metrics.set_session_replicas(queue, replicas)
            if session != self._open.get(queue):
                self._log(queue, floor, session)
            self._open[queue] = session

    def _log(self, queue: str, floor: SessionFloor, session: Session | None) -> None:
        if session is None:
            logger.info("no session of %s: %s has the pods that its work asks for", floor.name, queue)
            return
        until = session.closes + floor.after
        logger.info("a session of %s: %s has %d pods at least until %s", floor.name, queue, floor.min_replicas, until)
        if session.closes.date() > floor.calendar.until:
            known = floor.calendar.until
            logger.warning("the holidays of %s are known until %s alone: deploy a newer release", floor.name, known)
