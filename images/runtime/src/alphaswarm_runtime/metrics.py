"""What the process counts, for Prometheus when a port is given, for nobody otherwise.

Tasks are counted in the parent, where the pool reports each start and each end (see runs.py): the children share no
memory with it, and a child that dies could not count its own death. `waiting` and `running` are read from Redis by
the heartbeat, with LLEN and HLEN: the same two numbers the scaler reads.
"""

from typing import Protocol

from alphaswarm_runtime.errors import ConfigurationError

BUCKETS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200)  # seconds: up to half a day


class Meter(Protocol):
    """Takes the counts."""

    def count(self, queue: str, state: str) -> None:
        """A task of `queue` reached `state`."""

    def took(self, queue: str, seconds: float) -> None:
        """A task of `queue` ran for so long, whatever came of it."""

    def waiting(self, queue: str, tasks: int) -> None:
        """So many tasks of `queue` wait, for the whole fleet."""

    def running(self, scope: str, tasks: int) -> None:
        """So many tasks run under the keys of `scope` (the queue, or the image), for the whole fleet."""


class Unmetered:
    """Counts nothing."""

    def count(self, queue: str, state: str) -> None:
        """See Meter."""

    def took(self, queue: str, seconds: float) -> None:
        """See Meter."""

    def waiting(self, queue: str, tasks: int) -> None:
        """See Meter."""

    def running(self, scope: str, tasks: int) -> None:
        """See Meter."""


class PrometheusMeter:
    """Counts, and serves the counts over HTTP on `host:port` from a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        import prometheus_client as prometheus

        self._tasks = prometheus.Counter("alphaswarm_tasks", "Tasks by what became of them", ["queue", "state"])
        self._runtime = prometheus.Histogram(
            "alphaswarm_task_runtime_seconds", "From start to end of a task", ["queue"], buckets=BUCKETS
        )
        self._waiting = prometheus.Gauge("alphaswarm_queue_waiting", "Messages in the queue's list", ["queue"])
        self._running = prometheus.Gauge(
            "alphaswarm_queue_running", "Messages delivered and not acknowledged, under the keys of scope", ["scope"]
        )
        try:
            prometheus.start_http_server(port, addr=host)
        except OSError as error:
            raise ConfigurationError(f"ALPHASWARM_METRICS_PORT is {port}, which cannot be served: {error}") from None

    def count(self, queue: str, state: str) -> None:
        """See Meter."""
        self._tasks.labels(queue, state).inc()

    def took(self, queue: str, seconds: float) -> None:
        """See Meter."""
        self._runtime.labels(queue).observe(seconds)

    def waiting(self, queue: str, tasks: int) -> None:
        """See Meter."""
        self._waiting.labels(queue).set(tasks)

    def running(self, scope: str, tasks: int) -> None:
        """See Meter."""
        self._running.labels(scope).set(tasks)


def start(host: str, port: int | None) -> Meter:
    """The meter the environment asks for. Raises ConfigurationError when it cannot be had."""
    if port is None:
        return Unmetered()
    try:
        return PrometheusMeter(host, port)
    except ImportError:
        raise ConfigurationError(
            "ALPHASWARM_METRICS_PORT is set, but prometheus-client is not there: install alphaswarm-runtime[metrics]."
        ) from None
