"""What worker, beat and `show` have in common: read the environment, check it, load the application, enforce settings.

Whatever can be refused without the broker is refused before it is asked.
"""

import os
from dataclasses import dataclass, replace

from alphaswarm_runtime import contract
from alphaswarm_runtime.health import logs
from alphaswarm_runtime.settings import (
    application,
    catalogue,
    credentials,
    enforced_settings,
    environment,
    worker_profile,
)
from alphaswarm_runtime.transport import broker
from alphaswarm_runtime.type_aliases import App


@dataclass(frozen=True)
class Prepared:
    """An application that is ready to run."""

    app: App
    environment: environment.Environment
    profile: worker_profile.WorkerProfile
    overrides: list[enforced_settings.Override]


def prepare(
    queues: tuple[str, ...] | None = None, concurrency: int | None = None, *, consumes: bool = True
) -> Prepared:
    """Prepare the application that the environment names.

    Args:
        queues: from the command line, in place of ALPHASWARM_QUEUES.
        concurrency: from the command line, in place of ALPHASWARM_CONCURRENCY.
        consumes: whether it is for what consumes the queues, which they must be fit for.

    Raises:
        ConfigurationError: this image must not, or cannot, run it.
    """
    env = environment.read(os.environ)
    env = replace(env, queues=queues or env.queues, concurrency=concurrency or env.concurrency)
    profile = worker_profile.create(env, catalogue.load())
    logs.log_to_stderr(env.log_format, env.log_level)
    contract.check()
    results_are_given = broker.export_urls(os.environ, credentials.from_environment(os.environ))
    app = application.load(env.app)
    broker.choose_results(app, os.environ, given=results_are_given)
    broker.require_redis(app)
    return Prepared(app, env, profile, enforced_settings.apply(app, profile, consumes=consumes))
