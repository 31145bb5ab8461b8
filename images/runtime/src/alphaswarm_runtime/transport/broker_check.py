"""Whether a Redis server can be the fleet's broker: asked with INFO, which hosted servers answer too, unlike CONFIG."""

import logging
from collections.abc import Mapping
from typing import Any

from redis.exceptions import NoPermissionError

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.type_aliases import Client

logger = logging.getLogger("alphaswarm_runtime.transport.broker_check")

OLDEST = (6, 2)  # BLMOVE and LMOVE


def check(client: Client, url: str) -> None:
    """Check the server, and warn of one that may forget.

    Raises:
        ConfigurationError: it cannot keep the fleet's messages; names every reason.
    """
    try:
        info: dict[str, Any] = client.info("everything")
    except NoPermissionError:
        logger.warning("broker %s lets nobody ask what it is: its user may not use INFO", url)
        return
    if reasons := [*_unfit(info)]:
        raise ConfigurationError(f"broker {url} cannot be used: {'; '.join(reasons)}.")
    if not info.get("aof_enabled") and not info.get("connected_slaves") and info.get("role") == "master":
        logger.warning("broker %s has neither an append-only file nor a replica: its end would lose all tasks", url)


def _unfit(info: Mapping[str, Any]) -> list[str]:
    reasons = []
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        reasons.append(f"it is Redis {version or 'of an unknown version'}, and 6.2 is the oldest that has BLMOVE")
    if info.get("cluster_enabled") or info.get("redis_mode") == "cluster":
        reasons.append("it runs in cluster mode, which Celery does not speak")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        reasons.append(f"its maxmemory-policy {policy} may drop tasks and leases; set noeviction")
    return reasons
