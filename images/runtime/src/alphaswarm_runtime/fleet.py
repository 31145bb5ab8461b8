"""What the parts of one worker process share, hung on the application as `app.fleet`."""

import time
from dataclasses import dataclass, field

from alphaswarm_runtime import probe_files
from alphaswarm_runtime.broker import RedisConnection
from alphaswarm_runtime.deliveries import Deliveries
from alphaswarm_runtime.environment import Environment
from alphaswarm_runtime.metrics import Metrics
from alphaswarm_runtime.probe_files import ProbeFiles
from alphaswarm_runtime.runs import Runs
from alphaswarm_runtime.type_aliases import App, Pool, PoolProcess
from alphaswarm_runtime.worker_profile import WorkerProfile


@dataclass
class Fleet:
    """One worker process."""

    environment: Environment
    profile: WorkerProfile
    probe_files: ProbeFiles
    redis: RedisConnection
    metrics: Metrics
    deliveries: Deliveries
    runs: Runs
    stopping_since: float | None = field(default=None)  # CLOCK_MONOTONIC

    def stop(self) -> None:
        """Ask for a shutdown; safe in a signal handler, the event loop does the rest."""
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()

    @staticmethod
    def pool_processes(pool: Pool) -> tuple[PoolProcess, ...]:
        """The pool's own processes."""
        return tuple(getattr(getattr(pool, "_pool", None), "_pool", None) or ())


def assemble(app: App, environment: Environment, profile: WorkerProfile, metrics: Metrics) -> Fleet:
    """Make the parts and hang them on the application."""
    redis = RedisConnection(app)
    deliveries = Deliveries(redis, profile, environment.max_deliveries)
    runs = Runs(app, profile, deliveries, metrics)
    fleet = Fleet(environment, profile, probe_files.create(environment), redis, metrics, deliveries, runs)
    app.fleet = fleet
    return fleet
