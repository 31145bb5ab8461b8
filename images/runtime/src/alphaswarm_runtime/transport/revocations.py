"""Which tasks were revoked, kept in Redis: a worker that did not run at the time learns of it when it starts.

Celery tells the workers that run, and a queue at zero has none. A revocation is kept for as long as results are. It
names tasks by their ids, or by stamps: values that their senders put into headers.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta

from celery.utils.functional import maybe_list

from alphaswarm_runtime.transport.replies import as_text
from alphaswarm_runtime.type_aliases import App, Client

KEY = "revoked"  # sorted set: a task's id to when the revocation is forgotten, in seconds since 1970
STAMPS_KEY = "revoked:stamps"  # the same, of a header and a value, as a JSON list
WITHOUT_RESULTS = timedelta(days=1)

Headers = Mapping[str, object] | list[str]  # a header to one value or several; or texts like "header=value"


def keep(client: Client, app: App, task_ids: str | Iterable[str]) -> None:
    """Keep revocations, as remote control names them: one task or several."""
    _keep(client, app, KEY, [task_ids] if isinstance(task_ids, str) else task_ids)


def keep_stamps(client: Client, app: App, headers: Headers) -> None:
    """Keep revocations of all tasks with one of the stamps, as remote control names them."""
    named = headers.items() if isinstance(headers, Mapping) else [text.split("=", 1) for text in headers]
    _keep(
        client,
        app,
        STAMPS_KEY,
        [json.dumps([header, value]) for header, values in named for value in maybe_list(values)],
    )


def kept(client: Client) -> list[str]:
    """Return the ids of the revoked tasks, those that were revoked last at the end."""
    return _kept(client, KEY)


def kept_stamps(client: Client) -> dict[str, list[object]]:
    """Return the revoked values of each header."""
    found: dict[str, list[object]] = {}
    for member in _kept(client, STAMPS_KEY):
        header, value = json.loads(member)
        found.setdefault(header, []).append(value)
    return found


def _keep(client: Client, app: App, key: str, members: Iterable[str]) -> None:
    now = float(client.time()[0])
    lifetime = app.conf.result_expires or WITHOUT_RESULTS
    seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else float(lifetime)
    if found := dict.fromkeys(members, now + seconds):
        client.zadd(key, found)
    client.zremrangebyscore(key, "-inf", now)


def _kept(client: Client, key: str) -> list[str]:
    return [as_text(member) for member in client.zrangebyscore(key, float(client.time()[0]), "+inf")]
