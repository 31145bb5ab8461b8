"""Enforces settings again after each signal by which an application may change a worker that starts.

Its handlers run after the settings were enforced. They may change settings, tasks, and the worker itself. A handler's
exception is only logged by Celery, so a refusal is kept here, and the consumer ends the worker before it connects.
"""

import logging

from celery import signals

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import enforced_settings
from alphaswarm_runtime.type_aliases import App, Worker
from alphaswarm_runtime.worker.context import WorkerContext

logger = logging.getLogger("alphaswarm_runtime.worker.application_signals")


def connect(app: App, context: WorkerContext) -> None:
    """Enforce from now on. Call it once the application is imported: handlers run in the order of their connection."""

    def enforce(**_kwargs: object) -> None:
        try:
            enforced_settings.log(enforced_settings.apply(app, context.profile))
        except ConfigurationError as refusal:
            context.refusal = refusal

    def keep(sender: Worker = None, **_kwargs: object) -> None:
        for name, value in (
            ("concurrency", context.profile.concurrency),
            ("pool_cls", enforced_settings.POOL),
            ("prefetch_multiplier", 1),
        ):
            if (given := getattr(sender, name)) != value:
                logger.warning("override of the worker's %s: %r (the application's) -> %r", name, given, value)
                setattr(sender, name, value)

    signals.worker_init.connect(keep, weak=False)
    for signal in (signals.celeryd_init, signals.worker_init, signals.celeryd_after_setup):
        signal.connect(enforce, weak=False)
