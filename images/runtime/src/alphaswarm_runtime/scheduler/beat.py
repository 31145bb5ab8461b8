"""`alphaswarm-runtime beat`: Celery's scheduler, of which only one sends at a time.

Its Deployment has one replica and replaces it by ending the old pod first. Still, a node that was cut off may go on
running its own. So the scheduler holds a lease in Redis while it sends. A scheduler without the lease waits, live and
not ready, and reads its schedule when it gets it. The lease is renewed at every tick, and expires LEASE_TTL seconds
after the last one. Who gets it goes on where the other one was (last_runs.py).

It also returns parked messages that are due to their queues, since a queue at zero has no worker that would, says which
lists nobody reads, tells Kubernetes which pods are busy, and the scaler what sessions and promised waits ask for.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from celery.beat import Scheduler, SchedulingError
from celery.utils.imports import load_extension_class_names, symbol_by_name
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.health import logs, metrics, probe_files, traces
from alphaswarm_runtime.health.metrics import Metrics
from alphaswarm_runtime.health.probe_files import ProbeFiles
from alphaswarm_runtime.scheduler.busy_pods import BusyPods
from alphaswarm_runtime.scheduler.kube_api import KubeApi
from alphaswarm_runtime.scheduler.last_runs import LastRuns, keeps_none
from alphaswarm_runtime.scheduler.revocations import RevocationListener
from alphaswarm_runtime.scheduler.session_floors import SessionFloors
from alphaswarm_runtime.scheduler.slot_shares import SlotShares
from alphaswarm_runtime.scheduler.unserved import UnservedWatch
from alphaswarm_runtime.settings import catalogue, enforced_settings
from alphaswarm_runtime.settings.environment import Environment
from alphaswarm_runtime.settings.prepare import Prepared
from alphaswarm_runtime.transport import broker
from alphaswarm_runtime.transport.ledger import longest_waits, new_owner, unpark
from alphaswarm_runtime.type_aliases import App, ScheduleEntry

logger = logging.getLogger("alphaswarm_runtime.scheduler.beat")

IMAGE = "worker"
LEASE_KEY = "beat:lease"
LEASE_TTL = 30  # seconds
TICK = 1.0  # seconds: how late a parked message of a queue at zero may be
ACQUIRE_SCRIPT = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return holder and 2 or 1
"""
RENEWED = 2  # the reply where the lease was there, and this process'
RELEASE_SCRIPT = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """The right to send, held by at most one process. `was_kept` says of the last call whether it had never ended."""

    def __init__(self, redis: broker.RedisConnection) -> None:
        self._redis = redis
        self.holder = new_owner()
        self.was_kept = False

    def acquire(self) -> bool:
        """Acquire or renew the lease.

        Returns:
            False when another process holds it.

        Raises:
            Exception: one of the connection's `errors`, when the broker does not answer.
        """
        with self._redis.client() as client:
            reply = client.eval(ACQUIRE_SCRIPT, 1, LEASE_KEY, self.holder, LEASE_TTL)
        self.was_kept = reply == RENEWED
        return bool(reply)

    def release(self) -> None:
        """Release the lease, so that a successor need not wait. If the broker does not answer, it expires."""
        try:
            with self._redis.client() as client:
                client.eval(RELEASE_SCRIPT, 1, LEASE_KEY, self.holder)
        except self._redis.errors as error:
            logger.warning("the scheduler's lease was not released, it expires in %d s: %s", LEASE_TTL, error)


def run(prepared: Prepared) -> int:
    """Run the scheduler until it is asked to stop, and return its exit status.

    Raises:
        ConfigurationError: this is not the image that runs it.
        BrokerUnreachableError: the broker did not answer at the start. A later outage ends nothing.
    """
    app, environment = prepared.app, prepared.environment
    if environment.image != IMAGE:
        raise ConfigurationError(f"beat runs from image {IMAGE!r}; this is image {environment.image!r}.")
    files = probe_files.create(environment)
    files.reset()
    logs.format_celery_logs(environment.log_format, None)
    enforced_settings.log(prepared.overrides)
    broker.wait_until_ready(app, environment.broker_wait)
    started_metrics = metrics.start(environment.metrics_host, environment.metrics_port)
    traces.start()
    redis = broker.RedisConnection(app)
    lease = Lease(redis)
    parts = _Parts(
        app=app,
        redis=redis,
        lease=lease,
        last_runs=LastRuns(app, redis, environment.beat_catch_up),
        watch=UnservedWatch(redis, started_metrics),
        metrics=started_metrics,
        files=files,
        queues=tuple(catalogue.load().queues),
        floors=_session_floors(environment, started_metrics),
        shares=_slot_shares(environment, started_metrics),
    )
    RevocationListener(app, f"beat-{lease.holder}").start()
    if environment.api_access is not None:
        BusyPods(app, KubeApi(environment.api_access), parts.queues).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, parts.shutdown)
    try:
        while not parts.acquire():
            time.sleep(TICK)
        celery_beat = app.Beat(
            schedule=str(environment.state_dir / "celerybeat-schedule"),
            scheduler=_scheduler_with_lease(parts),
            loglevel=environment.log_level,
            quiet=True,
        )
        # Celery's closes the connection inside the handler, where what it interrupts may hold that connection's lock.
        celery_beat.install_sync_handler = lambda _service: None
        celery_beat.run()
    finally:
        lease.release()
    return parts.exit_status


def _session_floors(environment: Environment, started_metrics: Metrics) -> SessionFloors:
    floors = {queue: one.sessions for queue, one in environment.scaling.items() if one.sessions is not None}
    return SessionFloors(floors, started_metrics)


def _slot_shares(environment: Environment, started_metrics: Metrics) -> SlotShares:
    targets = {queue: one.target_wait for queue, one in environment.scaling.items() if one.target_wait is not None}
    return SlotShares(targets, started_metrics)


class _Shutdown:
    """Handles the signals that end the process.

    An exception of a handler is lost where it comes up in a destructor, or in code that catches all: `check` raises it
    again.
    """

    def __init__(self) -> None:
        self._requested = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True
        self.check()

    def check(self) -> None:
        """Raise SystemExit once a signal came."""
        if self._requested:
            raise SystemExit(os.EX_OK)


@dataclass
class _Parts:
    """What the scheduler works with."""

    app: App
    redis: broker.RedisConnection
    lease: Lease
    last_runs: LastRuns
    watch: UnservedWatch
    metrics: Metrics
    files: ProbeFiles
    queues: tuple[str, ...]
    floors: SessionFloors
    shares: SlotShares
    shutdown: _Shutdown = field(default_factory=_Shutdown)
    exit_status: int = os.EX_OK

    def acquire(self, then: Callable[[], None] | None = None) -> bool:
        """Return what is due to its queues, and acquire or renew the lease; the probes' files say why it was not.

        Args:
            then: what else must succeed, once the lease is held.
        """
        self.shutdown.check()
        self.files.mark_live()
        try:
            with self.redis.client() as client:
                unpark(client, self.queues)
                waits = longest_waits(client, self.queues)
            for queue, seconds in waits.items():
                self.metrics.set_oldest(queue, seconds or 0.0)
            if not self.lease.acquire():
                self.files.mark_not_ready("another scheduler holds the lease")
                return False
            with self.redis.client() as client:
                self.floors.update(client)
                self.shares.update(client)
            if then is not None:
                then()
        except self.redis.errors as error:
            self.files.mark_not_ready(f"the broker does not answer: {error}")
            return False
        return True


class _WithLease(Scheduler):  # type: ignore[misc]
    """What is put before the application's scheduler class: it sends only while it holds the lease.

    Where the lease had ended meanwhile, another scheduler may have sent. One of Celery's reads when. One with a store
    of its own is made anew, with the process: nobody knows how to make it read that again.
    """

    parts: _Parts
    keeps_no_last_runs: bool
    started = False
    unsent: ScheduleEntry = None  # what the broker did not take in this tick

    def tick(self, *args: object, **kwargs: object) -> float:
        if not self.parts.acquire(self._take_over):
            return TICK
        self.parts.files.mark_ready()
        interval = super().tick(*args, **kwargs)
        if self.unsent is not None:
            self._send_again_later()
            return TICK
        return TICK if interval is None else min(interval, TICK)

    def _take_over(self) -> None:
        lost = not (self.started and self.parts.lease.was_kept)
        if lost and self.keeps_no_last_runs:
            self.parts.last_runs.load(self.schedule)
            self.populate_heap()
        elif lost and self.started:
            logger.warning("another scheduler may have sent meanwhile: this one ends, and begins anew")
            self.parts.exit_status = os.EX_TEMPFAIL
            raise SystemExit(os.EX_TEMPFAIL)
        self.started = True
        self.parts.watch.search()

    def apply_async(self, entry: ScheduleEntry, *args: object, **kwargs: object) -> object:
        try:
            return super().apply_async(entry, *args, **kwargs)
        except SchedulingError as error:
            if self.keeps_no_last_runs and isinstance(error.__context__, RedisError | OperationalError):
                self.unsent = entry
            raise

    def apply_entry(self, entry: ScheduleEntry, *args: object, **kwargs: object) -> None:
        super().apply_entry(entry, *args, **kwargs)
        if self.keeps_no_last_runs and self.unsent is None:
            try:
                self.parts.last_runs.record(entry.name)
            except self.parts.redis.errors as error:
                logger.warning("that %s was sent is not recorded: %s", entry.name, error)

    def _send_again_later(self) -> None:
        """Have the entry due again: Celery counts it as sent, and would leave out this one time."""
        logger.warning("the broker did not take %s: it is sent in the next tick", self.unsent.name)
        self.schedule[self.unsent.name], self.unsent = self.unsent, None
        self.populate_heap()


def _scheduler_with_lease(parts: _Parts) -> type:
    aliases = dict(load_extension_class_names("celery.beat_schedulers"))
    scheduler: type = symbol_by_name(parts.app.conf.beat_scheduler, aliases=aliases)
    members = {"parts": parts, "keeps_no_last_runs": keeps_none(scheduler)}
    return type("SchedulerWithLease", (_WithLease, scheduler), members)
