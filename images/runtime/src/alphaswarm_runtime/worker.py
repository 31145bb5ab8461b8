"""`alphaswarm-runtime worker`: a Celery worker for the queues asked for, which loses nothing."""

import signal

from alphaswarm_runtime import broker, enforced_settings, fleet, logs, metrics, probe_files, traces
from alphaswarm_runtime.prepare import Prepared


def run(prepared: Prepared) -> int:
    """Run the worker until it is told to stop; returns its exit status.

    Raises BrokerUnreachableError when the broker does not answer at the start. Once it did, an outage ends nothing.
    """
    app, environment, profile = prepared.app, prepared.environment, prepared.profile
    probe_files.create(environment).reset()
    logs.format_celery_logs(environment.log_format, profile.queue_names[0] if len(profile.queues) == 1 else None)
    enforced_settings.log(prepared.overrides)
    broker.wait_until_ready(app, environment.broker_wait)
    started_metrics = metrics.start(environment.metrics_host, environment.metrics_port)
    traces.start()
    ours = fleet.assemble(app, environment, profile, started_metrics)
    _stop_on_signals(ours)
    worker = app.Worker(
        concurrency=profile.concurrency,
        queues=list(profile.queue_names),
        loglevel=environment.log_level,
        pool_cls="prefork",
        # Nobody elects a leader here; without it pods do not gossip with each of the others.
        without_gossip=True,
        # Its events (one every two seconds) block the event loop for as long as a hanging broker likes; the probes'
        # files say the same.
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _stop_on_signals(ours: fleet.Fleet) -> None:
    from celery import signals

    def install(**_more: object) -> None:
        # Celery has put its own handlers in place by now; SIGQUIT stays Celery's cold shutdown.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: ours.stop())

    signals.worker_ready.connect(install, weak=False)
