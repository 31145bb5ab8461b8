"""What the parts of one worker process share. The consumer finds it as `app.worker_context`."""

import os
import time
from dataclasses import dataclass, field

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health import probe_files
from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.health.probe_files import ProbeFiles
from alphaswarm_runtime.settings.environment import Environment
from alphaswarm_runtime.settings.worker_profile import WorkerProfile
from alphaswarm_runtime.transport.broker import RedisConnection
from alphaswarm_runtime.transport.channel import Consuming
from alphaswarm_runtime.transport.ledger import Ledger
from alphaswarm_runtime.type_aliases import App
from alphaswarm_runtime.worker import children, predecessor
from alphaswarm_runtime.worker.dead_letters import DeadLetters
from alphaswarm_runtime.worker.executions import ExecutionTracker
from alphaswarm_runtime.worker.fence import Fence
from alphaswarm_runtime.worker.lease import Lease
from alphaswarm_runtime.worker.results import Results


@dataclass
class WorkerContext:
    """The parts of one worker process."""

    environment: Environment
    profile: WorkerProfile
    probe_files: ProbeFiles
    redis: RedisConnection
    metrics: Metrics
    ledger: Ledger
    consuming: Consuming
    lease: Lease
    dead_letters: DeadLetters
    executions: ExecutionTracker
    results: Results
    predecessor: str | None = None  # the owner of messages that a process left here when it died
    refusal: ConfigurationError | None = None  # why this worker must not consume
    exit_status: int = os.EX_OK  # of the process, when it was asked to shut down
    shutdown_requested_at: float | None = field(default=None)  # CLOCK_MONOTONIC

    def request_shutdown(self, exit_status: int = os.EX_OK) -> None:
        """Ask the event loop to shut down, and to end the process with that status. Safe in a signal handler."""
        self.exit_status = exit_status or self.exit_status
        if self.shutdown_requested_at is None:
            self.shutdown_requested_at = time.monotonic()


def create(app: App, environment: Environment, profile: WorkerProfile, metrics: Metrics) -> WorkerContext:
    """Create the parts, and set them as `app.worker_context`."""
    redis = RedisConnection(app)
    ledger = Ledger(profile.queues, lease=environment.lease)
    consuming = Consuming(ledger)
    interruptible = [name for name, queue in profile.queues.items() if queue.cancel_on_connection_loss]
    fence = Fence(interruptible, spares_others=len(interruptible) < len(profile.queues))
    fence.connect()
    children.connect()
    context = WorkerContext(
        environment=environment,
        profile=profile,
        probe_files=probe_files.create(environment),
        redis=redis,
        metrics=metrics,
        ledger=ledger,
        consuming=consuming,
        lease=Lease(ledger, fence, armed=bool(interruptible)),
        dead_letters=DeadLetters(app, redis, ledger, metrics, environment.max_deliveries),
        executions=ExecutionTracker(app, profile, consuming, metrics),
        results=Results(app, metrics, environment.result_wait),
        predecessor=predecessor.replace(environment.state_dir, ledger.owner),
    )
    context.results.install()
    app.worker_context = context
    return context
