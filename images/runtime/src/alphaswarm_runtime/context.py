"""What the parts of one worker process share. The consumer finds it as `app.worker_context`."""

import time
from dataclasses import dataclass, field

from alphaswarm_runtime import probe_files
from alphaswarm_runtime.broker import RedisConnection
from alphaswarm_runtime.delivery_limit import DeliveryLimit
from alphaswarm_runtime.environment import Environment
from alphaswarm_runtime.executions import ExecutionTracker
from alphaswarm_runtime.metrics import Metrics
from alphaswarm_runtime.probe_files import ProbeFiles
from alphaswarm_runtime.type_aliases import App
from alphaswarm_runtime.worker_profile import WorkerProfile


@dataclass
class WorkerContext:
    """The parts of one worker process."""

    environment: Environment
    profile: WorkerProfile
    probe_files: ProbeFiles
    redis: RedisConnection
    metrics: Metrics
    delivery_limit: DeliveryLimit
    executions: ExecutionTracker
    shutdown_requested_at: float | None = field(default=None)  # CLOCK_MONOTONIC

    def request_shutdown(self) -> None:
        """Ask the event loop to shut down. Safe in a signal handler."""
        if self.shutdown_requested_at is None:
            self.shutdown_requested_at = time.monotonic()


def create(app: App, environment: Environment, profile: WorkerProfile, metrics: Metrics) -> WorkerContext:
    """Create the parts, and set them as `app.worker_context`."""
    redis = RedisConnection(app)
    delivery_limit = DeliveryLimit(redis, profile, environment.max_deliveries)
    executions = ExecutionTracker(app, profile, delivery_limit, metrics)
    context = WorkerContext(
        environment, profile, probe_files.create(environment), redis, metrics, delivery_limit, executions
    )
    app.worker_context = context
    return context
