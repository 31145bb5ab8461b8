"""Tells Kubernetes which pods run tasks, so that a scale-in takes idle ones first.

A ReplicaSet removes pods with a lower `controller.kubernetes.io/pod-deletion-cost` before others: a busy pod gets one,
an idle pod none. Beat does it for all, and is the only pod that may: workers, which run anybody's tasks, have no access
to the API. A pod's hostname is its name, which is in the name of the owner of each message in flight.

A pod is busy when it has messages in two looks in a row, so that short tasks cause no writes.
"""

import logging
import threading
import time
from collections.abc import Collection

from alphaswarm_runtime.scheduler.kube_api import ApiError, KubeApi
from alphaswarm_runtime.transport import inspection
from alphaswarm_runtime.transport.broker import RedisConnection
from alphaswarm_runtime.type_aliases import App

logger = logging.getLogger("alphaswarm_runtime.scheduler.busy_pods")

INTERVAL = 5.0  # seconds between two looks
MAX_CHANGES = 20  # in one look: the API server has other work
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
COST = "1"
SELECTOR = "app.kubernetes.io/component=worker"
HOSTNAME_LENGTH = 63  # a longer pod's name is cut


class BusyPods:
    """The look, repeated from a thread. Where Kubernetes does not answer, a scale-in takes any pod."""

    def __init__(self, app: App, api: KubeApi, queues: Collection[str]) -> None:
        self._redis = RedisConnection(app)  # the scheduler's own is not this thread's
        self._api = api
        self._queues = queues
        self._before: set[str] = set()
        self._failed = False

    def start(self) -> None:
        """Start looking; it ends with the process."""
        threading.Thread(target=self._run, name="busy-pods", daemon=True).start()

    def _run(self) -> None:
        errors: tuple[type[Exception], ...] = (ApiError, *self._redis.errors)
        while True:
            time.sleep(INTERVAL)
            try:
                self.look()
            except errors as error:
                if not self._failed:
                    logger.warning("Kubernetes is not told which pods are busy: %s", error)
                self._failed = True
            else:
                self._failed = False

    def look(self) -> None:
        """Annotate what became busy, and what became idle.

        Raises:
            ApiError: Kubernetes does not answer, or refuses.
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        with self._redis.client() as client:
            owners = {owner for queue in self._queues for owner in inspection.messages_by_owner(client, queue)}
        hostnames = {owner.partition(":")[0] for owner in owners}
        busy, self._before = hostnames & self._before, hostnames
        pods = self._api.annotations(SELECTOR)
        marked = {name for name, annotations in pods.items() if ANNOTATION in annotations}
        idle = {name for name in marked if name[:HOSTNAME_LENGTH] not in hostnames}
        new = {name for name in pods.keys() - marked if name[:HOSTNAME_LENGTH] in busy}
        changes = [*((name, COST) for name in sorted(new)), *((name, None) for name in sorted(idle))]
        for name, cost in changes[:MAX_CHANGES]:
            self._api.annotate(name, ANNOTATION, cost)
