"""Celery's consumer, changed in five points.

- It fetches messages atomically (transport.py).
- It does not start a message for ever (delivery_limit.py).
- When the connection is lost, it terminates the running tasks *before* their messages return to the queue. Celery
  does it afterwards, so another worker may run the task at the same time for a moment. In a queue whose tasks must
  not be interrupted (terraform) the task goes on, detached from the connection: its message is acknowledged over the
  next one, or is redelivered after the visibility timeout when the worker dies.
- On SIGTERM it stops consuming, waits for running tasks, and requeues what does not end within the soft shutdown of
  its queue. Celery's own soft shutdown sleeps in the signal handler for its whole time, and acknowledges nothing.
- It updates the probes' files, also while it waits for a broker that is down: such a worker is live, not ready.
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

from alphaswarm_runtime import processes, transport
from alphaswarm_runtime.context import WorkerContext
from alphaswarm_runtime.executions import Execution
from alphaswarm_runtime.type_aliases import Connection, Hub, Message, Pool, PoolProcess, Request

logger = logging.getLogger("alphaswarm_runtime.consumer")

SHUTDOWN_CHECK_INTERVAL = 0.5  # seconds
ACK_RETRY_INTERVAL = 5.0  # seconds


class FleetConsumer(Consumer):  # type: ignore[misc]
    """See the module. Celery creates it, because of the setting `worker_consumer`."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.context: WorkerContext = self.app.worker_context
        self.context.executions.wrap_pool(self.pool)
        self._to_uncount: list[Execution] = []  # their starts still count: the broker did not answer
        self._detached: dict[str, Execution] = {}  # by delivery tag, until they are acknowledged
        name = f"{self.hostname}:{secrets.token_hex(8)}"
        self._owner = transport.Owner(self.context.profile.owners_key, name, self._detached.keys())
        self._shutdown_started = False
        signals.task_revoked.connect(self._on_task_revoked, weak=False)

    # -- messages ------------------------------------------------------------------------------------------------

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Create Celery's handler, and put the check of the delivery limit before it."""
        handle = super().create_task_handler(*args, **kwargs)
        delivery_limit, queue_of = self.context.delivery_limit, self.context.executions.queue_of

        def on_message(message: Message) -> None:
            queue = queue_of(message.delivery_info or {})
            if delivery_limit.is_reached(queue, message):
                self._dead_letter(queue, message)
            else:
                handle(message)

        return on_message

    def _dead_letter(self, queue: str, message: Message) -> None:
        reason = self.context.delivery_limit.dead_letter(queue, message, self.hostname)
        self.context.metrics.count_task(queue, "dead")
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

    def _on_task_revoked(self, request: Request = None, **_kwargs: object) -> None:
        delivery_info = getattr(request, "delivery_info", None) or {}
        self.context.metrics.count_task(self.context.executions.queue_of(delivery_info), "revoked")

    # -- connection ----------------------------------------------------------------------------------------------

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, however long it takes, and update the probes' files meanwhile."""

        def on_error(error: Exception, interval: float) -> None:
            logger.error("broker %s does not answer: %s; next attempt in %.0f s", conn.as_uri(), error, interval)

        conn = conn.ensure_connection(on_error, None, interval_max=10, callback=self._while_connecting)
        self.first_connection_attempt = False
        return conn

    def _while_connecting(self) -> None:
        self.context.probe_files.mark_live()
        self.context.probe_files.mark_not_ready("the broker does not answer")
        if self.context.shutdown_requested_at is not None and not self.context.executions.running():
            raise WorkerShutdown(0)
        state.maybe_shutdown()

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """Open the connection that delivers messages, with the atomic fetch."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        transport.install(connection, self._owner)
        return self.ensure_connected(connection)

    def connect(self) -> Connection:
        """Connect, and uncount the starts that ended with the lost connection."""
        self._watch_exited_processes_again()
        connection = super().connect()
        self._to_uncount = self.context.executions.uncount_starts(self._to_uncount)
        return connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Cancel or detach the running tasks, and let Celery restore their messages only then."""
        self.context.probe_files.mark_not_ready("the connection to the broker is lost")
        running = self.context.executions.running()
        cancelled = [
            execution for execution in running if self.context.profile.queue(execution.queue).cancel_on_connection_loss
        ]
        for execution in running:
            if execution not in cancelled and not execution.detached:
                self._detach(execution)
        if cancelled:
            logger.warning("connection lost: cancelling %d running task(s), which will run again", len(cancelled))
            self.context.executions.cancel(cancelled, self.pool)
            self._to_uncount += cancelled
        super().on_connection_error_after_connected(exc)

    def _watch_exited_processes_again(self) -> None:
        """Let the pool watch processes that exited and were not reaped yet, as it does with new ones.

        The pool polls such a process on a timer and no longer watches its file descriptor. If the connection is made
        anew meanwhile, it registers the missing descriptor and ends the worker ("file descriptor is None").
        """
        for process in _pool_processes(self.pool):
            if getattr(process, "_sentinel_poll", process) is None:
                del process._sentinel_poll  # noqa: SLF001

    def _detach(self, execution: Execution) -> None:
        logger.warning("connection lost: task %s goes on, detached from its message", execution.request.id)
        execution.detached = True
        message = execution.message
        self._detached[message.delivery_tag] = execution
        # The channel restores what it has among the delivered messages when it is closed.
        message.channel.qos._delivered.pop(message.delivery_tag, None)  # noqa: SLF001
        execution.request._on_ack = functools.partial(self._ack_detached, execution)  # noqa: SLF001
        execution.request.on_reject = functools.partial(self._reject_detached, execution)

    def _ack_detached(self, execution: Execution, *_args: object) -> None:
        try:
            self.context.delivery_limit.ack_detached(execution.message)
        except self.context.redis.errors as error:
            logger.warning("task %s ended, and cannot be acknowledged yet: %s", execution.request.id, error)
            self.hub.call_later(ACK_RETRY_INTERVAL, self._ack_detached, execution)
        else:
            self._detached.pop(execution.message.delivery_tag, None)

    def _reject_detached(self, execution: Execution, _logger: object, _errors: object, requeue: bool = False) -> None:
        if requeue:
            # An orphan from now on: restored by the next connection, or after the visibility timeout.
            del self._detached[execution.message.delivery_tag]
        else:
            self._ack_detached(execution)

    # -- event loop ----------------------------------------------------------------------------------------------

    def register_with_event_loop(self, hub: Hub) -> None:
        """Start the timers of this connection; the event loop stops them with the connection."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(self.context.environment.heartbeat, self._on_heartbeat)
        hub.call_repeatedly(SHUTDOWN_CHECK_INTERVAL, self._check_shutdown)
        hub.call_soon(self._on_heartbeat)

    def _on_heartbeat(self) -> None:
        probe_files = self.context.probe_files
        probe_files.mark_live()
        processes.reap_orphans({process.pid for process in _pool_processes(self.pool)})
        try:
            self._update_gauges()
        except self.context.redis.errors as error:
            probe_files.mark_not_ready(f"the broker does not answer: {error}")
            return
        if self.context.shutdown_requested_at is not None:
            probe_files.mark_not_ready("shutting down")
        elif self.restart_count and not self.connection:
            probe_files.mark_not_ready("not connected")
        else:
            probe_files.mark_ready()

    def _update_gauges(self) -> None:
        profile, metrics = self.context.profile, self.context.metrics
        with self.context.redis.client() as client:
            pipe = client.pipeline(transaction=False)
            for queue in profile.queue_names:
                pipe.llen(queue)
            pipe.hlen(profile.unacked_key)
            *waiting, running = pipe.execute()
        for queue, tasks in zip(profile.queue_names, waiting, strict=True):
            metrics.set_waiting(queue, tasks)
        metrics.set_running(profile.scope, running)

    # -- shutdown ------------------------------------------------------------------------------------------------

    def _check_shutdown(self) -> None:
        requested_at = self.context.shutdown_requested_at
        if requested_at is None:
            return
        if not self._shutdown_started:
            self._stop_consuming()
        waited = time.monotonic() - requested_at
        overdue = [
            execution
            for execution in self.context.executions.running()
            if self._exceeds_soft_shutdown(execution, waited)
        ]
        if overdue:
            self._cancel_and_requeue(overdue)
        if not self.context.executions.running():
            state.should_stop = 0

    def _exceeds_soft_shutdown(self, execution: Execution, waited: float) -> bool:
        soft_shutdown = self.context.profile.queue(execution.queue).soft_shutdown
        return soft_shutdown is not None and waited >= soft_shutdown

    def _stop_consuming(self) -> None:
        self._shutdown_started = True
        running = self.context.executions.running()
        logger.warning("shutting down: consuming stopped; waiting for %d running task(s)", len(running))
        self.context.probe_files.mark_not_ready("shutting down")
        self.task_consumer.cancel()
        for request in tuple(state.scheduled_requests):  # held until their ETA; another worker can hold them as well
            if request._eta_timer_entry is not None:  # noqa: SLF001
                self.timer.cancel(request._eta_timer_entry)  # noqa: SLF001
            request.reject(requeue=True)
        state.scheduled_requests.clear()

    def _cancel_and_requeue(self, executions: list[Execution]) -> None:
        logger.warning("shutting down: requeueing %d task(s)", len(executions))
        self.context.executions.cancel(executions, self.pool)
        for execution in executions:
            if not execution.detached:
                execution.message.requeue()
            execution.request.acknowledged = True
        self._to_uncount = self.context.executions.uncount_starts(executions)


def _pool_processes(pool: Pool) -> tuple[PoolProcess, ...]:
    """Return the processes of the prefork pool; none before it is started."""
    return tuple(getattr(getattr(pool, "_pool", None), "_pool", None) or ())
