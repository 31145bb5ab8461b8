"""Hears revocations in beat, which always runs, and keeps them for workers that do not."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from alphaswarm_runtime.transport import revocations
from alphaswarm_runtime.transport.broker import RedisConnection
from alphaswarm_runtime.type_aliases import App, Connection

logger = logging.getLogger("alphaswarm_runtime.scheduler.revocations")

RETRY_INTERVAL = 5.0  # seconds
DRAIN_TIMEOUT = 1.0  # seconds


class RevocationListener:
    """Listens to the workers' remote control in a thread, and answers nothing."""

    def __init__(self, app: App, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._redis = RedisConnection(app)  # the scheduler's own is not this thread's

    def start(self) -> None:
        """Start listening; it ends with the process."""
        threading.Thread(target=self._run, name="revocations", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                with self._app.connection_for_read() as connection:
                    self._listen(connection)
            except self._redis.errors as error:
                logger.warning("revocations are not heard: %s", error)
                time.sleep(RETRY_INTERVAL)

    def _listen(self, connection: Connection) -> None:
        node = self._app.control.mailbox.Node(self._hostname, channel=connection.channel())
        with node.Consumer(callbacks=[self._on_message]):
            while True:
                try:
                    connection.drain_events(timeout=DRAIN_TIMEOUT)
                except TimeoutError:
                    continue

    def _on_message(self, body: Mapping[str, Any], _message: object) -> None:
        method, arguments = body.get("method"), body.get("arguments") or {}
        if method not in ("revoke", "revoke_by_stamped_headers") or body.get("destination"):
            return
        with self._redis.client() as client:
            if method == "revoke":
                revocations.keep(client, self._app, arguments.get("task_id") or [])
            else:
                revocations.keep_stamps(client, self._app, arguments.get("headers") or {})
