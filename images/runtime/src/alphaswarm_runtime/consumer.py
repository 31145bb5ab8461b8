"""The worker's consumer: Celery's, with the five things the fleet asks of it on top.

- It takes messages in one step, so that none is ever in nobody's hands (taking.py).
- It refuses to start a message for ever (deliveries.py).
- When the connection drops, it ends the running tasks *before* their messages go back to the queue. Celery does it
  after, so that another worker may run the task for a moment at the same time. A queue that must not be interrupted
  (terraform) keeps its run, and the message is kept back: it is acknowledged over the next connection, or comes
  back after the visibility timeout when we die.
- On SIGTERM it stops taking work, waits for what runs, and returns what its queue's soft shutdown does not let
  finish. Celery's own soft shutdown sleeps in the signal handler: for its whole time, with nothing acknowledged.
- It keeps the probes' files, also while it waits for a broker that is away: such a worker is alive, not ready.
"""

import functools
import logging
import secrets
import time
from collections.abc import Callable

from celery import signals
from celery.exceptions import WorkerLostError, WorkerShutdown
from celery.utils.objects import Bunch
from celery.worker import state
from celery.worker.consumer import Consumer

from alphaswarm_runtime import processes, taking
from alphaswarm_runtime.fleet import Fleet
from alphaswarm_runtime.runs import Run
from alphaswarm_runtime.type_aliases import Connection, Hub, Message, Request

logger = logging.getLogger("alphaswarm_runtime.consumer")

LOOK = 0.5  # seconds between two looks at whether a shutdown was asked for or is done
TRY_AGAIN = 5.0  # seconds before an acknowledgement that failed is tried once more


class FleetConsumer(Consumer):  # type: ignore[misc]
    """See the module. Celery makes it, from the setting `worker_consumer`."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fleet: Fleet = self.app.fleet
        self.fleet.runs.watch(self.pool)
        self._unforgiven: list[Run] = []
        self._kept: dict[str, Run] = {}  # by delivery tag: runs whose connection is gone, not settled yet
        name = f"{self.hostname}:{secrets.token_hex(8)}"
        self._owner = taking.Owner(self.fleet.profile.owners_key, name, self._kept.keys())
        self._draining = False
        signals.task_revoked.connect(self._on_revoked, weak=False)

    # -- messages ------------------------------------------------------------------------------------------------

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Celery's handler, behind the question whether the message was started too often already."""
        handle = super().create_task_handler(*args, **kwargs)
        deliveries, queue_of = self.fleet.deliveries, self.fleet.runs.queue_of

        def on_message(message: Message) -> None:
            queue = queue_of(message.delivery_info or {})
            if deliveries.is_exhausted(queue, message):
                self._bury(queue, message)
            else:
                handle(message)

        return on_message

    def _bury(self, queue: str, message: Message) -> None:
        reason = self.fleet.deliveries.bury(queue, message, self.hostname)
        self.fleet.metrics.count_task(queue, "dead")
        message.ack()
        headers = message.headers or {}
        if "id" not in headers:
            return
        error = WorkerLostError(f"moved to dead:{queue}: {reason}")
        request = Bunch(
            name=headers.get("task"), chord=None, root_id=headers.get("root_id"), errbacks=None,
            correlation_id=message.properties.get("correlation_id"), reply_to=message.properties.get("reply_to"),
        )  # fmt: skip
        try:
            self.app.backend.mark_as_failure(headers["id"], error, request=request)
        except Exception:
            logger.exception("the failure of task %s could not be stored", headers["id"])

    def _on_revoked(self, request: Request = None, **_more: object) -> None:
        info = getattr(request, "delivery_info", None) or {}
        self.fleet.metrics.count_task(self.fleet.runs.queue_of(info), "revoked")

    # -- connection ----------------------------------------------------------------------------------------------

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, however long it takes, and keep the probes informed meanwhile."""

        def failed(error: Exception, interval: float) -> None:
            logger.error("broker %s does not answer: %s; next attempt in %.0f s", conn.as_uri(), error, interval)

        conn = conn.ensure_connection(failed, None, interval_max=10, callback=self._while_waiting)
        self.first_connection_attempt = False
        return conn

    def _while_waiting(self) -> None:
        self.fleet.probe_files.mark_live()
        self.fleet.probe_files.mark_not_ready("the broker does not answer")
        if self.fleet.stopping_since is not None and not self.fleet.runs.unended():
            raise WorkerShutdown(0)
        state.maybe_shutdown()

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """The connection that messages come by."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        taking.install(connection, self._owner)
        return self.ensure_connected(connection)

    def connect(self) -> Connection:
        """Connect, and take back the starts that the lost connection cost."""
        self._watch_the_dying()
        connection = super().connect()
        self._unforgiven = self.fleet.runs.forgive(self._unforgiven)
        return connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """End the running tasks, except where that is worse, and only then let their messages go back."""
        self.fleet.probe_files.mark_not_ready("the connection to the broker dropped")
        runs = self.fleet.runs.unended()
        ending = [run for run in runs if self.fleet.profile.queue(run.queue).cancel_on_connection_loss]
        for run in runs:
            if run not in ending and not run.parted:
                self._keep(run)
        if ending:
            logger.warning("connection lost: ending %d running task(s), which will be run again", len(ending))
            self.fleet.runs.end(ending, self.pool)
            self._unforgiven += ending
        super().on_connection_error_after_connected(exc)

    def _watch_the_dying(self) -> None:
        """Let the pool watch a process once more whose end it saw, but which the kernel had not yet given up.

        It waits for such a process on a timer, without a file to watch, and ends the worker ("file descriptor is
        None") when the connection happens to be made anew before.
        """
        for process in self.fleet.pool_processes(self.pool):
            if getattr(process, "_sentinel_poll", process) is None:
                del process._sentinel_poll  # noqa: SLF001

    def _keep(self, run: Run) -> None:
        logger.warning("connection lost: task %s goes on, its message is held back", run.request.id)
        run.parted = True
        message = run.message
        self._kept[message.delivery_tag] = run
        # What the channel does not know as delivered, it does not return when it is closed.
        message.channel.qos._delivered.pop(message.delivery_tag, None)  # noqa: SLF001
        run.request._on_ack = functools.partial(self._settle, run)  # noqa: SLF001
        run.request.on_reject = functools.partial(self._settle_unless_requeued, run)

    def _settle_unless_requeued(self, run: Run, _logger: object, _errors: object, requeue: bool = False) -> None:
        if requeue:
            del self._kept[run.message.delivery_tag]  # it goes back with the next connection, or as overdue
        else:
            self._settle(run)

    def _settle(self, run: Run, *_unused: object) -> None:
        try:
            self.fleet.deliveries.settle(run.message)
        except self.fleet.redis.errors as error:
            logger.warning("task %s ended, the broker does not hear it yet: %s", run.request.id, error)
            self.hub.call_later(TRY_AGAIN, self._settle, run)
        else:
            self._kept.pop(run.message.delivery_tag, None)

    # -- event loop ----------------------------------------------------------------------------------------------

    def register_with_event_loop(self, hub: Hub) -> None:
        """Begin the heartbeat of this connection; the loop ends it with the connection."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(self.fleet.environment.heartbeat, self._beat)
        hub.call_repeatedly(LOOK, self._look)
        hub.call_soon(self._beat)

    def _beat(self) -> None:
        probe_files = self.fleet.probe_files
        probe_files.mark_live()
        processes.reap_strangers({process.pid for process in self.fleet.pool_processes(self.pool)})
        try:
            self._measure()
        except self.fleet.redis.errors as error:
            probe_files.mark_not_ready(f"the broker does not answer: {error}")
            return
        if self.fleet.stopping_since is not None:
            probe_files.mark_not_ready("shutting down")
        elif self.restart_count and not self.connection:
            probe_files.mark_not_ready("not connected")
        else:
            probe_files.mark_ready()

    def _measure(self) -> None:
        profile, metrics = self.fleet.profile, self.fleet.metrics
        with self.fleet.redis.client() as client:
            pipe = client.pipeline(transaction=False)
            for queue in profile.queue_names:
                pipe.llen(queue)
            pipe.hlen(profile.unacked_key)
            *waiting, running = pipe.execute()
        for queue, tasks in zip(profile.queue_names, waiting, strict=True):
            metrics.set_waiting(queue, tasks)
        metrics.set_running(profile.scope, running)

    # -- shutdown ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        since = self.fleet.stopping_since
        if since is None:
            return
        if not self._draining:
            self._stop_taking_work()
        waited = time.monotonic() - since
        overdue = [run for run in self.fleet.runs.unended() if self._is_overdue(run, waited)]
        if overdue:
            self._return(overdue)
        if not self.fleet.runs.unended():
            state.should_stop = 0

    def _is_overdue(self, run: Run, waited: float) -> bool:
        patience = self.fleet.profile.queue(run.queue).soft_shutdown
        return patience is not None and waited >= patience

    def _stop_taking_work(self) -> None:
        self._draining = True
        runs = self.fleet.runs.unended()
        logger.warning("shutting down: no new work; waiting for %d running task(s)", len(runs))
        self.fleet.probe_files.mark_not_ready("shutting down")
        self.task_consumer.cancel()
        for request in tuple(state.scheduled_requests):  # held for their time; another worker can hold them as well
            if request._eta_timer_entry is not None:  # noqa: SLF001
                self.timer.cancel(request._eta_timer_entry)  # noqa: SLF001
            request.reject(requeue=True)
        state.scheduled_requests.clear()

    def _return(self, runs: list[Run]) -> None:
        logger.warning("shutting down: returning %d task(s) to the queue", len(runs))
        self.fleet.runs.end(runs, self.pool)
        for run in runs:
            if not run.parted:
                run.message.requeue()
            run.request.acknowledged = True
        self._unforgiven = self.fleet.runs.forgive(runs)
