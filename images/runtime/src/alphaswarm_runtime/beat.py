"""`alphaswarm-runtime beat`: the scheduler, exactly one of it in the fleet.

The Deployment has one replica and replaces it by ending the old one first, yet a node that was cut off may still run
its own. So the scheduler holds a lease in Redis while it sends: who does not hold it waits, alive and not ready.
The lease is renewed on every turn and outlives LEASE seconds of silence.
"""

import logging
import os
import secrets
import signal
import socket
from types import FrameType

from alphaswarm_runtime import broker, enforced_settings, logs, metrics, probe_files, traces
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.prepare import Prepared
from alphaswarm_runtime.type_aliases import App

logger = logging.getLogger("alphaswarm_runtime.beat")

IMAGE = "worker"
KEY = "beat:lease"
LEASE = 30  # seconds
RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """The right to send, held by at most one process."""

    def __init__(self, redis: broker.RedisConnection) -> None:
        self._redis = redis
        self._holder = f"{socket.gethostname()}:{secrets.token_hex(8)}"

    def hold(self) -> bool:
        """Take or renew it; False when another process has it. Raises the broker's errors."""
        with self._redis.client() as client:
            return bool(client.eval(RENEW, 1, KEY, self._holder, LEASE))

    def release(self) -> None:
        """Give it back, so that a successor need not wait; a broker that is away lets it run out."""
        try:
            with self._redis.client() as client:
                client.eval(RELEASE, 1, KEY, self._holder)
        except self._redis.errors as error:
            logger.warning("the scheduler's lease was not given back, it runs out in %d s: %s", LEASE, error)


def run(prepared: Prepared) -> int:
    """Run the scheduler until it is told to stop; returns its exit status."""
    app, environment = prepared.app, prepared.environment
    if environment.image != IMAGE:
        raise ConfigurationError(f"beat runs from image {IMAGE!r}; this is image {environment.image!r}.")
    files = probe_files.create(environment)
    files.reset()
    logs.format_celery_logs(environment.log_format, None)
    enforced_settings.log(prepared.overrides)
    broker.wait_until_ready(app, environment.broker_wait)
    metrics.start(environment.metrics_host, environment.metrics_port)
    traces.start()
    redis = broker.RedisConnection(app)
    lease = Lease(redis)
    signal.signal(signal.SIGTERM, _leave)
    try:
        app.Beat(
            schedule=str(environment.state_dir / "celerybeat-schedule"),
            scheduler=_leased(app, lease, redis, prepared),
            loglevel=environment.log_level,
            quiet=True,
        ).run()
    finally:
        lease.release()
    return os.EX_OK


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(os.EX_OK)


def _leased(app: App, lease: Lease, redis: broker.RedisConnection, prepared: Prepared) -> type:
    """The application's own scheduler, which sends only while it holds the lease, and tells the probes."""
    from celery.utils.imports import load_extension_class_names, symbol_by_name

    aliases = dict(load_extension_class_names("celery.beat_schedulers"))
    theirs: type = symbol_by_name(app.conf.beat_scheduler, aliases=aliases)
    files, beat = probe_files.create(prepared.environment), prepared.environment.heartbeat

    class Leased(theirs):  # type: ignore[misc]
        def tick(self, *args: object, **kwargs: object) -> float:
            files.mark_live()
            try:
                if not lease.hold():
                    files.mark_not_ready("another scheduler holds the lease")
                    return beat
            except redis.errors as error:
                files.mark_not_ready(f"the broker does not answer: {error}")
                return beat
            files.mark_ready()
            wait = super().tick(*args, **kwargs)
            return beat if wait is None else min(wait, beat)

    return Leased
