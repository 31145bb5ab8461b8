"""This process' lease on its messages, and what must not run once it has ended.

The lease is renewed by the event loop. A process that could not renew it ends its tasks before others may start them:
the event loop cancels them shortly before the end. Should the event loop hang, or the whole process have been stopped
and continued, each child of the pool ends itself, since it reads the same deadline from shared memory (fence.py).

Times are CLOCK_MONOTONIC, counted from the moment at which the request was sent: the server's lease ends later.
"""

import time

from alphaswarm_runtime.transport.ledger import Ledger
from alphaswarm_runtime.type_aliases import Client
from alphaswarm_runtime.worker.fence import Fence

RENEWALS = 6  # how often a lease is renewed while it lasts


class LeaseEndedError(ConnectionError):
    """The lease has ended, or is about to. Handled as a lost connection: tasks are cancelled, and all begins anew."""


class Lease:
    """The lease of one process. `armed` is False where none of its tasks may be ended for it (terraform)."""

    def __init__(self, ledger: Ledger, fence: Fence, *, armed: bool) -> None:
        self._ledger = ledger
        self._fence = fence
        self._armed = armed
        self._begun = False
        self._renew_at = 0.0
        self._ends_at = float("inf")

    @property
    def interval(self) -> float:
        """Seconds between two renewals, and between the end of the tasks and the end of the lease."""
        return self._ledger.lease / RENEWALS

    def begin(self, client: Client) -> None:
        """Begin the lease, or renew it. A server that refuses is asked again by `keep`."""
        sent_at = time.monotonic()
        self._begun = False
        self._ledger.begin_lease(client)
        self._begun = True
        self._extend(sent_at)

    def keep(self, client: Client) -> None:
        """Renew the lease if it is time to.

        Raises:
            LeaseEndedError: it had ended; others may have started this process' tasks.
        """
        sent_at = time.monotonic()
        if not self._begun:
            self.begin(client)
        elif sent_at >= self._renew_at:
            if not self._ledger.renew_lease(client):
                self._begun = False
                if self._armed:
                    raise LeaseEndedError("this process was silent for too long: its lease has ended")
                return
            self._extend(sent_at)

    def check(self) -> None:
        """Check, where it could not be renewed, that it still lasts.

        Raises:
            LeaseEndedError: it ends soon.
        """
        if self._armed and self._begun and time.monotonic() >= self._ends_at - self.interval:
            self._begun = False
            raise LeaseEndedError("the broker did not renew this process' lease, which ends soon")

    def _extend(self, sent_at: float) -> None:
        self._renew_at = sent_at + self.interval
        self._ends_at = sent_at + self._ledger.lease
        if self._armed:
            self._fence.set(self._ends_at - self.interval / 2)
