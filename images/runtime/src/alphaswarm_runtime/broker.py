"""Where the broker is, whether it answers, and how an address is shown: never with its password.

The address comes from the first of
    CELERY_BROKER_URL, ALPHASWARM_BROKER_URL    a whole URL
    ALPHASWARM_BROKER_HOST, _PORT, _TLS, _USER, _DB, _CA    with the password of credential redis/broker
    the application's own settings
and likewise for results (CELERY_RESULT_BACKEND, ALPHASWARM_RESULT_BACKEND, ALPHASWARM_RESULT_DB). What is found is
handed to Celery through its own variables, before the application is imported, so that code which reads them agrees.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlencode

from alphaswarm_runtime.credentials import CredentialResolver
from alphaswarm_runtime.errors import BrokerUnreachableError, ConfigurationError
from alphaswarm_runtime.type_aliases import App, Client, Connection

DEFAULT_PORT = "6379"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"", "0", "false", "no", "off"})
PASSWORD = re.compile(r"(?P<head>[a-z+]+://[^:@/?#]*):[^@/]*@")
QUESTION_TIMEOUT = 2.0  # seconds one question to the broker may take: it stops the event loop meanwhile
PAUSE = 2.0  # seconds between two attempts at startup


def masked(url: str | None) -> str:
    """The URL as it may be printed; lists of URLs (failover, Sentinel) are separated by `;`."""
    return "-" if url is None else PASSWORD.sub(r"\g<head>:***@", url)


def export(environ: MutableMapping[str, str], resolver: CredentialResolver) -> None:
    """Put the broker's and the result store's address into Celery's variables, where we know them."""
    broker = environ.get("CELERY_BROKER_URL") or environ.get("ALPHASWARM_BROKER_URL")
    results = environ.get("CELERY_RESULT_BACKEND") or environ.get("ALPHASWARM_RESULT_BACKEND")
    if environ.get("ALPHASWARM_BROKER_HOST") and not (broker and results):
        compose = _composer(environ, resolver)
        broker = broker or compose(_database(environ, "ALPHASWARM_BROKER_DB", "0"))
        results = results or compose(_database(environ, "ALPHASWARM_RESULT_DB", "1"))
    for key, value in (("CELERY_BROKER_URL", broker), ("CELERY_RESULT_BACKEND", results)):
        if value:
            environ[key] = value


def _composer(environ: Mapping[str, str], resolver: CredentialResolver) -> Callable[[str], str]:
    tls = environ.get("ALPHASWARM_BROKER_TLS", "").lower()
    if tls not in TRUE | FALSE:
        raise ConfigurationError(f"ALPHASWARM_BROKER_TLS is {tls!r}; it must be true or false.")
    options = {}
    if tls in TRUE:
        options["ssl_cert_reqs"] = "CERT_REQUIRED"
        if authority := environ.get("ALPHASWARM_BROKER_CA"):
            options["ssl_ca_certs"] = authority
    secret = resolver.resolve("redis", "broker")
    user = quote(environ.get("ALPHASWARM_BROKER_USER", ""), safe="")
    password = "" if secret is None else ":" + quote(secret.reveal(), safe="")
    login = f"{user}{password}@" if user or password else ""
    host, port = environ["ALPHASWARM_BROKER_HOST"], environ.get("ALPHASWARM_BROKER_PORT") or DEFAULT_PORT
    scheme, query = ("rediss", "?" + urlencode(options)) if options else ("redis", "")
    return lambda database: f"{scheme}://{login}{host}:{port}/{database}{query}"


def _database(environ: Mapping[str, str], key: str, default: str) -> str:
    text = environ.get(key) or default
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{key} is {text!r}; it must be the number of a Redis database.")
    return text


class Redis:
    """A connection of our own to the broker, made the way the application's are (TLS, Sentinel, login), but impatient.

    Only for the parent process; a child that inherits it by fork must not use it.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._connection: Connection = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A redis-py client. Its errors are among `connection_errors` of every kombu connection to Redis."""
        if self._connection is None:
            self._connection = self._app.connection(
                self._app.conf.broker_read_url,
                transport_options={
                    "socket_timeout": QUESTION_TIMEOUT,
                    "socket_connect_timeout": QUESTION_TIMEOUT,
                    "retry_on_timeout": False,
                    "max_retries": 0,  # one attempt: whoever asks decides what silence means
                },
            )
        try:
            with self._connection.default_channel.conn_or_acquire() as client:
                yield client
        except self.errors:
            self.close()
            raise

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a broker that does not answer raises."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import ConnectionError as Refused
        from redis.exceptions import NoPermissionError
        from redis.exceptions import TimeoutError as Late

        return (Refused, Late, NoPermissionError, OperationalError, OSError)

    def close(self) -> None:
        """Forget the connection; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self.errors):
                connection.release()


def require_redis(app: App) -> None:
    """Refuse an application whose broker is no Redis: neither the scaler nor redelivery would work."""
    transport = app.connection_for_read().transport_cls
    if transport not in ("redis", "rediss", "sentinel"):
        raise ConfigurationError(
            f"the broker is {masked(app.conf.broker_read_url)} (transport {transport}); the fleet runs on Redis. "
            "Set CELERY_BROKER_URL, or ALPHASWARM_BROKER_HOST and its companions."
        )


def wait_for(app: App, seconds: int) -> None:
    """Wait until the broker answers, saying so on every attempt. Raises BrokerUnreachableError after `seconds`."""
    from redis.exceptions import AuthenticationError, NoPermissionError

    redis, address, began = Redis(app), masked(app.conf.broker_read_url), time.monotonic()
    while True:
        try:
            with redis.client() as client:
                client.ping()
        except redis.errors as error:
            if isinstance(error.__cause__ or error, AuthenticationError | NoPermissionError):
                raise ConfigurationError(
                    f"broker {address} refuses the login: {error}. Check ALPHASWARM_BROKER_USER and credential "
                    "redis/broker."
                ) from None
            waited = time.monotonic() - began
            if waited >= seconds:
                raise BrokerUnreachableError(
                    f"broker {address} did not answer within {seconds} s: {error}. Check its address and the network "
                    "rules; ALPHASWARM_BROKER_WAIT is the time allowed."
                ) from None
            sys.stderr.write(f"alphaswarm-runtime: broker {address} does not answer ({waited:.0f} of {seconds} s)\n")
            sys.stderr.flush()
            time.sleep(min(PAUSE, seconds))
        else:
            redis.close()
            return
