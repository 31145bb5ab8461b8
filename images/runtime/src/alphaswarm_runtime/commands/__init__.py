"""Commands for people, which ask the broker once and end."""

import argparse
import os

from alphaswarm_runtime.commands import dead, queues, send
from alphaswarm_runtime.errors import BrokerUnreachableError
from alphaswarm_runtime.settings.prepare import Prepared
from alphaswarm_runtime.transport import broker


def run(prepared: Prepared, options: argparse.Namespace) -> int:
    """Run `send`, `queues` or `dead`, and return the exit status.

    Raises:
        BrokerUnreachableError: the broker does not answer.
        ConfigurationError: there is no such queue or task.
    """
    redis = broker.RedisConnection(prepared.app)
    try:
        with redis.client() as client:
            if options.command == "send":
                client.ping()  # Celery alone would try again for a minute
                return send.run(prepared.app, options)
            if options.command == "queues":
                queues.run(client, as_json=options.json)
            else:
                dead.run(client, options)
    except redis.errors as error:
        url = broker.mask_password(prepared.app.conf.broker_read_url)
        raise BrokerUnreachableError(f"broker {url} does not answer: {error}") from None
    return os.EX_OK
