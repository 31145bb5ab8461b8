"""The way to a running process that worker, beat and `show` share: read, refuse, find the application, make it safe.

Everything that can be refused without the broker is refused before it is asked.
"""

import os
from dataclasses import dataclass, replace

from alphaswarm_runtime import application, broker, catalogue, credentials, environment, logs, profile, safety
from alphaswarm_runtime.type_aliases import App


@dataclass(frozen=True)
class Prepared:
    """An application ready to run."""

    app: App
    environment: environment.Environment
    profile: profile.Profile
    overrides: list[safety.Override]


def prepare(queues: tuple[str, ...] | None = None, concurrency: int | None = None) -> Prepared:
    """Prepare the application that the environment names; arguments of the command line win over it.

    Raises ConfigurationError for whatever this image must not or cannot run.
    """
    told = environment.read(os.environ)
    told = replace(told, queues=queues or told.queues, concurrency=concurrency or told.concurrency)
    limits = profile.of(told, catalogue.shipped())
    logs.log_to_stderr(told.log_format, told.log_level)
    broker.export_urls(os.environ, credentials.from_environment(os.environ))
    app = application.load(told.app)
    broker.require_redis(app)
    return Prepared(app, told, limits, safety.apply(app, limits, told))
