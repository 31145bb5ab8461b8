"""`alphaswarm-runtime worker`: a Celery worker that loses no task."""

import signal

from alphaswarm_runtime.health import logs, metrics, probe_files, traces
from alphaswarm_runtime.settings import enforced_settings
from alphaswarm_runtime.settings.prepare import Prepared
from alphaswarm_runtime.transport import broker
from alphaswarm_runtime.worker import application_signals, context, remote_control

RESULTS_AT_END = 5.0  # seconds that results of the parent may take to be written


def run(prepared: Prepared) -> int:
    """Run the worker until it is asked to stop, and return its exit status.

    Raises:
        ConfigurationError: this image must not, or cannot, run what the application made of the worker.
        BrokerUnreachableError: the broker did not answer at the start. A later outage ends nothing.
    """
    app, environment, profile = prepared.app, prepared.environment, prepared.profile
    probe_files.create(environment).reset()
    logs.format_celery_logs(environment.log_format, profile.queue_names[0] if len(profile.queues) == 1 else None)
    enforced_settings.log(prepared.overrides)
    broker.wait_until_ready(app, environment.broker_wait)
    started_metrics = metrics.start(environment.metrics_host, environment.metrics_port)
    traces.start()
    remote_control.install()
    worker_context = context.create(app, environment, profile, started_metrics)
    application_signals.connect(app, worker_context)
    _install_signal_handlers(worker_context)
    worker = app.Worker(
        concurrency=profile.concurrency,
        queues=list(profile.queue_names),
        loglevel=environment.log_level,
        pool_cls=enforced_settings.POOL,
        # Nobody elects a leader here; without it pods do not gossip with each of the others.
        without_gossip=True,
        # Its events (one every two seconds) block the event loop for as long as a broker hangs; the probes' files
        # say the same.
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    worker_context.results.close(RESULTS_AT_END)
    if worker_context.refusal is not None:
        raise worker_context.refusal
    return worker_context.exit_status or int(worker.exitcode or 0)


def _install_signal_handlers(worker_context: context.WorkerContext) -> None:
    from celery import signals

    def install(**_kwargs: object) -> None:
        # Celery has installed its own handlers by now; SIGQUIT stays Celery's cold shutdown.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: worker_context.request_shutdown())

    signals.worker_ready.connect(install, weak=False)
