"""Messages put into the lists of one queue and taken out again, as a sender and a worker do, without either."""

import json

from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.transport.ledger import Ledger

from tests.images.runtime.harness import Redis

QUEUE = "default"


def put(client: Redis, tag: str, step: int = 0) -> None:
    """Send a message with that delivery tag and priority step."""
    properties = {"delivery_tag": tag, "delivery_info": {"routing_key": QUEUE}, "priority": step}
    client.lpush(keys.waiting(QUEUE, step), json.dumps({"body": "", "headers": {}, "properties": properties}))


def fetch(client: Redis, ledger: Ledger) -> str:
    """Fetch the next message, and return its delivery tag."""
    reply = client.execute_command(*ledger.fetch_command([QUEUE]))
    return str(json.loads(reply[1])["properties"]["delivery_tag"])
