"""Which tasks were revoked, kept in Redis: a worker that did not run at the time learns of it when it starts.

Celery tells the workers that run, and a queue at zero has none. A revocation is kept for as long as results are.
"""

from collections.abc import Iterable
from datetime import timedelta

from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import App, Client

KEY = "revoked"  # sorted set: a task's id to when the revocation is forgotten, in seconds since 1970
WITHOUT_RESULTS = timedelta(days=1)


def keep(client: Client, app: App, task_ids: str | Iterable[str]) -> None:
    """Keep revocations, as remote control names them: one task or several."""
    now = float(client.time()[0])
    lifetime = app.conf.result_expires or WITHOUT_RESULTS
    seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else float(lifetime)
    if found := dict.fromkeys([task_ids] if isinstance(task_ids, str) else task_ids, now + seconds):
        client.zadd(KEY, found)
    client.zremrangebyscore(KEY, "-inf", now)


def kept(client: Client) -> list[str]:
    """Return the ids of the revoked tasks, those that were revoked last at the end."""
    now = float(client.time()[0])
    found = client.zrangebyscore(KEY, now, "+inf")
    return [as_text(task_id) for task_id in found]
