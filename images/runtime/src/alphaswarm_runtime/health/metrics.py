"""The metrics of one process, served to Prometheus when a port is given.

Tasks are counted in the parent, where the pool reports each start and each end (executions.py): the children share no
memory with it, and a child that dies could not count its own death. The gauges are read from Redis at each heartbeat,
with LLEN and HLEN: the numbers that the scaler reads. Times are seconds.
"""

from alphaswarm_runtime.errors import ConfigurationError

BUCKETS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200)  # seconds: up to half a day


class Metrics:
    """What worker and beat measure. This class itself measures nothing."""

    def count_task(self, queue: str, state: str) -> None:
        """Count a task that reached `state`."""

    def count_lost_result(self, queue: str) -> None:
        """Count a result that could not be written."""

    def observe_runtime(self, queue: str, seconds: float) -> None:
        """Record how long a task ran, however it ended."""

    def set_waiting(self, queue: str, tasks: int) -> None:
        """Set the number of waiting tasks of the queue, for the whole fleet."""

    def set_running(self, queue: str, tasks: int) -> None:
        """Set the number of running tasks of the queue, for the whole fleet."""

    def set_parked(self, queue: str, tasks: int) -> None:
        """Set the number of tasks of the queue that are not due yet, for the whole fleet."""

    def set_oldest(self, queue: str, seconds: float) -> None:
        """Set for how long the queue's oldest message has waited, for the whole fleet."""

    def set_session_replicas(self, queue: str, replicas: int) -> None:
        """Set for how many pods a session of an exchange asks now."""

    def set_mean_runtime(self, queue: str, seconds: float) -> None:
        """Set for how long the queue's last tasks ran on the average."""

    def set_unserved(self, queue: str, tasks: int) -> None:
        """Set the number of tasks in a queue that nobody reads."""


class PrometheusMetrics(Metrics):
    """Serves the metrics over HTTP on `host:port`, from a thread."""

    def __init__(self, host: str, port: int) -> None:
        import prometheus_client as prometheus

        self._tasks = prometheus.Counter("alphaswarm_tasks", "Tasks by what became of them", ["queue", "state"])
        self._lost_results = prometheus.Counter(
            "alphaswarm_results_lost", "Results that could not be written", ["queue"]
        )
        self._runtime = prometheus.Histogram(
            "alphaswarm_task_runtime_seconds", "From start to end of a task", ["queue"], buckets=BUCKETS
        )
        self._waiting = prometheus.Gauge("alphaswarm_queue_waiting", "Messages in the queue's lists", ["queue"])
        self._running = prometheus.Gauge(
            "alphaswarm_queue_running", "Messages delivered and not acknowledged", ["queue"]
        )
        self._parked = prometheus.Gauge("alphaswarm_queue_parked", "Messages that are not due yet", ["queue"])
        self._oldest = prometheus.Gauge(
            "alphaswarm_queue_oldest_seconds", "For how long the oldest message has waited; from beat", ["queue"]
        )
        self._session_replicas = prometheus.Gauge(
            "alphaswarm_queue_session_replicas", "Pods that a session of an exchange asks for; from beat", ["queue"]
        )
        self._mean_runtime = prometheus.Gauge(
            "alphaswarm_queue_mean_runtime_seconds",
            "For how long the last tasks ran, on the average; from beat",
            ["queue"],
        )
        self._unserved = prometheus.Gauge(
            "alphaswarm_queue_unserved", "Messages in a queue that nobody reads; from beat", ["queue"]
        )
        try:
            prometheus.start_http_server(port, addr=host)
        except OSError as error:
            raise ConfigurationError(f"ALPHASWARM_METRICS_PORT is {port}, which cannot be served: {error}") from None

    def count_task(self, queue: str, state: str) -> None:
        """See Metrics."""
        self._tasks.labels(queue, state).inc()

    def count_lost_result(self, queue: str) -> None:
        """See Metrics."""
        self._lost_results.labels(queue).inc()

    def observe_runtime(self, queue: str, seconds: float) -> None:
        """See Metrics."""
        self._runtime.labels(queue).observe(seconds)

    def set_waiting(self, queue: str, tasks: int) -> None:
        """See Metrics."""
        self._waiting.labels(queue).set(tasks)

    def set_running(self, queue: str, tasks: int) -> None:
        """See Metrics."""
        self._running.labels(queue).set(tasks)

    def set_parked(self, queue: str, tasks: int) -> None:
        """See Metrics."""
        self._parked.labels(queue).set(tasks)

    def set_oldest(self, queue: str, seconds: float) -> None:
        """See Metrics."""
        self._oldest.labels(queue).set(seconds)

    def set_session_replicas(self, queue: str, replicas: int) -> None:
        """See Metrics."""
        self._session_replicas.labels(queue).set(replicas)

    def set_mean_runtime(self, queue: str, seconds: float) -> None:
        """See Metrics."""
        self._mean_runtime.labels(queue).set(seconds)

    def set_unserved(self, queue: str, tasks: int) -> None:
        """See Metrics."""
        self._unserved.labels(queue).set(tasks)


def start(host: str, port: int | None) -> Metrics:
    """Start the metrics; without a port, measure nothing.

    Raises:
        ConfigurationError: the port cannot be served, or prometheus-client is not installed.
    """
    if port is None:
        return Metrics()
    try:
        return PrometheusMetrics(host, port)
    except ImportError:
        raise ConfigurationError(
            "ALPHASWARM_METRICS_PORT is set, but prometheus-client is not installed: "
            "install alphaswarm-runtime[metrics]."
        ) from None
