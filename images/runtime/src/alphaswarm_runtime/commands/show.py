"""`alphaswarm-runtime show`: the settings that a worker started like this would use. It prints no secret."""

import json
from dataclasses import asdict
from typing import Any

from alphaswarm_runtime.health import probe_files
from alphaswarm_runtime.settings.prepare import Prepared
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.broker import mask_password

SETTINGS = (
    "task_acks_late", "task_reject_on_worker_lost", "worker_prefetch_multiplier", "task_time_limit",
    "task_soft_time_limit", "worker_cancel_long_running_tasks_on_connection_loss", "worker_pool", "task_default_queue",
    "worker_proc_alive_timeout",
)  # fmt: skip


def to_json(prepared: Prepared) -> str:
    """Return the effective settings as JSON, keys sorted."""
    app, environment, profile = prepared.app, prepared.environment, prepared.profile
    names = profile.queue_names
    files = probe_files.create(environment)
    shown: dict[str, Any] = {
        "application": environment.app,
        "image": profile.image,
        "queues": {name: asdict(queue) for name, queue in profile.queues.items()},
        "concurrency": profile.concurrency,
        "keys": {name: keys.all_of(name) for name in names},
        "grace_period": profile.grace_period,
        "lease": environment.lease,
        "max_deliveries": environment.max_deliveries,
        "broker": mask_password(app.conf.broker_read_url),
        "results": mask_password(app.conf.result_backend),
        "settings": {name: app.conf[name] for name in SETTINGS},
        "overridden": [str(override) for override in prepared.overrides if override.set_by_application],
        "state_dir": str(environment.state_dir),
        "live_for": files.live_ttl,
        "ready_for": files.ready_ttl,
        "metrics_port": environment.metrics_port,
        "log_format": environment.log_format,
    }
    return json.dumps(shown, indent=2, sort_keys=True, default=str)
