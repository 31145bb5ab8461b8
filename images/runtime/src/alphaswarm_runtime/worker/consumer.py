"""Celery's consumer, changed in six points.

- It fetches messages atomically, and owns them for as long as it renews its lease (transport, lease.py).
- It hands no message to Celery that must not start now, or ever (deliveries.py).
- When the connection is lost, it terminates the running tasks *before* their messages return to the queue. Celery
  does it afterwards, so another worker may run the task at the same time for a moment. In a queue whose tasks must
  not be interrupted (terraform) the task goes on, detached from the connection: its message is acknowledged over the
  next one, or is redelivered after the visibility timeout when the worker dies. What has not begun is cancelled.
- On SIGTERM it stops consuming, waits for running tasks, and requeues what does not end within the soft shutdown of
  its queue. Celery's own soft shutdown sleeps in the signal handler for its whole time, and acknowledges nothing.
- It returns what other, dead workers owned, and what is due (upkeep.py).
- It updates the probes' files, also while it waits for a broker that is down: such a worker is live, not ready.
"""

import functools
import logging
import os
import time
from collections.abc import Callable

from celery import signals
from celery.exceptions import WorkerShutdown
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.loops import _timer_entries
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.transport import broker_check, channel
from alphaswarm_runtime.transport.broker import is_login_refused, mask_password
from alphaswarm_runtime.transport.channel import queue_of
from alphaswarm_runtime.type_aliases import Connection, Hub, Message, PoolProcess, Request
from alphaswarm_runtime.worker import pool_descriptors, processes
from alphaswarm_runtime.worker.context import WorkerContext
from alphaswarm_runtime.worker.deliveries import Deliveries
from alphaswarm_runtime.worker.executions import Execution
from alphaswarm_runtime.worker.lease import LeaseEndedError
from alphaswarm_runtime.worker.upkeep import Upkeep

logger = logging.getLogger("alphaswarm_runtime.worker.consumer")

SHUTDOWN_CHECK_INTERVAL = 0.5  # seconds
REFUSAL_PAUSE = 1.0  # seconds
UPKEEP_INTERVAL = 1.0  # seconds: how late a parked message may be where every worker is busy


class FleetConsumer(Consumer):  # type: ignore[misc]
    """See the module. Celery creates it, because of the setting `worker_consumer`."""

    connection_errors: tuple[type[BaseException], ...]
    timer_entries_before_start: set[object]
    timer_entries_registered: set[object] | None

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # The first is what kombu calls every error of publishing, as it does while the worker asks its neighbours. The
        # second are a broker's refusals: it became a replica, has too few of them, or is busy. A new connection may
        # lead to another server; the worker's end would not help.
        self.connection_errors = (*self.connection_errors, OperationalError, ResponseError)
        self.context: WorkerContext = self.app.worker_context
        self.context.executions.wrap_pool(self.pool)
        self._detached: dict[str, Execution] = {}  # by delivery tag, until they end
        self.context.consuming.detached = self._detached.keys()
        self._processes: tuple[PoolProcess, ...] = ()  # of the pool, when the connection was lost
        self._on_tick: set[Callable[[], None]] = set()  # what polls the connection in every turn of the event loop
        self._deliveries = Deliveries(self, self.context)
        self._upkeep = Upkeep(self.context)
        self._stopped_consuming = False  # on this connection
        signals.task_revoked.connect(self._on_task_revoked, weak=False)

    def start(self) -> None:
        """Consume, until the worker ends; a refusal ends it."""
        try:
            super().start()
        except ConfigurationError as refusal:
            self.context.refusal = refusal
            raise WorkerShutdown(refusal.exit_status) from None

    # -- messages ------------------------------------------------------------------------------------------------

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Create Celery's handler, and put before it what may keep a message from being handled."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Message) -> None:
            if not self._deliveries.is_kept(message):
                handle(message)

        return on_message

    def on_unknown_task(self, _body: object, message: Message, exc: Exception) -> None:
        """Keep a message whose task is not registered here."""
        self._deliveries.keep_unregistered(message, exc)

    def on_unknown_message(self, _body: object, message: Message) -> None:
        """Keep what is no task."""
        self._deliveries.reject(message, "it is no message of Celery's")

    def on_invalid_task(self, _body: object, message: Message, exc: Exception) -> None:
        """Keep a task that cannot be read, or whose content is not accepted."""
        self._deliveries.reject(message, f"invalid: {exc}", exc)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that cannot be decoded."""
        self._deliveries.reject(message, f"undecodable: {exc}", exc)

    def _on_task_revoked(self, request: Request = None, **_kwargs: object) -> None:
        message = getattr(request, "message", None)
        if message is not None:
            self.context.metrics.count_task(queue_of(message), "revoked")

    # -- connection ----------------------------------------------------------------------------------------------

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, however long it takes, and update the probes' files meanwhile."""

        refused_since: list[float] = []

        def on_error(error: Exception, interval: float) -> None:
            logger.error("broker %s does not answer: %s; next attempt in %.0f s", conn.as_uri(), error, interval)
            if not is_login_refused(error):
                refused_since.clear()
                return
            refused_since.append(time.monotonic())
            if time.monotonic() - refused_since[0] >= self.context.environment.broker_wait:
                self._end_unauthorized()

        conn = conn.ensure_connection(on_error, None, interval_max=10, callback=self._while_connecting)
        self.first_connection_attempt = False
        return conn

    def _end_unauthorized(self) -> None:
        """End once no task runs: the password has changed, and a new container reads the new one."""
        logger.critical("the broker refuses the login: ending, so that a new process reads the password anew")
        self.context.request_shutdown(os.EX_CONFIG)

    def _while_connecting(self) -> None:
        self.context.probe_files.mark_live()
        self.context.probe_files.mark_not_ready("the broker does not answer")
        if self.context.shutdown_requested_at is not None and not self.context.executions.running():
            raise WorkerShutdown(0)
        state.maybe_shutdown()

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """Open the connection that delivers messages, with the atomic fetch."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        channel.install(connection, self.context.consuming)
        return self.ensure_connected(connection)

    def connect(self) -> Connection:
        """Connect, and begin the lease without which nothing is delivered."""
        if self.context.refusal is not None:
            raise self.context.refusal
        pool_descriptors.watch_exited_again(self.pool)
        pool_descriptors.forget_dead(self.pool)
        pool_descriptors.close_of_dead(self.pool, self._processes)
        connection = self._connect()
        try:
            self._upkeep.begin()
            self._check_broker()
        except BaseException:
            connection.release()
            raise
        return connection

    def _connect(self) -> Connection:
        """Connect, and end the polling of the connection before, which kombu leaves to the event loop for good."""
        self.hub.on_tick -= self._on_tick
        others = set(self.hub.on_tick)
        try:
            return super().connect()
        finally:
            self._on_tick = self.hub.on_tick - others

    def _check_broker(self) -> None:
        """End, once no task runs, if another server has taken the broker's place that cannot keep messages."""
        try:
            with self.context.redis.client() as client:
                broker_check.check(client, mask_password(self.app.conf.broker_read_url))
        except ConfigurationError as error:
            logger.critical("%s", error)
            self.context.request_shutdown(error.exit_status)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Cancel or detach the running tasks, and let Celery restore their messages only then."""
        self.context.probe_files.mark_not_ready("the connection to the broker is lost")
        self._processes = pool_descriptors.pool_processes(self.pool)
        self.context.executions.hear(self.pool)
        running = self.context.executions.running()
        cancelled = [
            execution
            for execution in running
            if self.context.profile.queue(execution.queue).cancel_on_connection_loss or not execution.has_begun
        ]
        for execution in running:
            if execution not in cancelled and not execution.detached:
                self._detach(execution)
        if cancelled:
            logger.warning("connection lost: cancelling %d running task(s), which will run again", len(cancelled))
            self.context.executions.cancel(cancelled, self.pool)
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, ResponseError):
            time.sleep(REFUSAL_PAUSE)  # a connection is made at once, and refused at once

    def on_close(self) -> None:
        """Do what Celery does, and keep the timers of the processes that it starts: they are of no connection.

        Where the connection fails before the event loop runs, Celery cancels every timer since it began to connect:
        also the one that kills a process which it just started, should that hang.
        """
        if self.timer_entries_registered is None:
            self.timer_entries_registered = _timer_entries(self.hub.timer) - self.timer_entries_before_start
        super().on_close()

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
        """Leave it to the upkeep: there may be no connection at this moment."""
        message = execution.message
        self.context.consuming.unacknowledged[message.delivery_tag] = queue_of(message)
        self._detached.pop(message.delivery_tag, None)

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
        self._stopped_consuming = False
        hub.call_soon(_guarded(self._check_shutdown))  # before the first message of a connection made during a shutdown
        hub.call_repeatedly(self.context.environment.heartbeat, _guarded(self._on_heartbeat))
        hub.call_repeatedly(UPKEEP_INTERVAL, _guarded(self._upkeep.run))
        hub.call_repeatedly(SHUTDOWN_CHECK_INTERVAL, _guarded(self._check_shutdown))
        hub.call_soon(_guarded(self._on_heartbeat))

    def _on_heartbeat(self) -> None:
        probe_files = self.context.probe_files
        probe_files.mark_live()
        processes.reap_orphans({process.pid for process in pool_descriptors.pool_processes(self.pool)})
        self.context.results.count_lost()
        try:
            self._upkeep.update_gauges()
        except self.context.redis.errors as error:
            probe_files.mark_not_ready(f"the broker does not answer: {error}")
            return
        if self.context.shutdown_requested_at is not None:
            probe_files.mark_not_ready("shutting down")
        elif self.restart_count and not self.connection:
            probe_files.mark_not_ready("not connected")
        else:
            probe_files.mark_ready()

    # -- shutdown ------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Shut down as Celery does, and end the lease: what is left, nobody need wait for."""
        super().shutdown()
        self._upkeep.end()

    def _check_shutdown(self) -> None:
        requested_at = self.context.shutdown_requested_at
        if requested_at is None:
            return
        if not self._stopped_consuming:
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
        self._stopped_consuming = True
        running = self.context.executions.running()
        logger.warning("shutting down: consuming stopped; waiting for %d running task(s)", len(running))
        self.context.probe_files.mark_not_ready("shutting down")
        self.task_consumer.cancel()

    def _cancel_and_requeue(self, executions: list[Execution]) -> None:
        logger.warning("shutting down: requeueing %d task(s)", len(executions))
        self.context.executions.cancel(executions, self.pool)
        for execution in executions:
            if not execution.detached:
                execution.message.requeue()
            execution.request.acknowledged = True


def _guarded(function: Callable[[], None]) -> Callable[[], None]:
    """Keep an error of ours from being taken for a lost connection, which would end the running tasks.

    kombu counts KeyError and every OSError among the errors of a connection.
    """

    def call() -> None:
        try:
            function()
        except LeaseEndedError:
            raise
        except Exception:
            logger.exception("%s failed", function.__name__)

    return call
