"""The URLs of broker and result backend, and this process' own connection to the broker.

The broker's URL comes from the first of
    CELERY_BROKER_URL, ALPHASWARM_BROKER_URL    a whole URL
    ALPHASWARM_BROKER_HOST, _PORT, _TLS, _USER, _DB, _CA    with the password of credential redis/broker
    the application's own settings
and the result backend's likewise (CELERY_RESULT_BACKEND, ALPHASWARM_RESULT_BACKEND, ALPHASWARM_RESULT_DB). They are
exported as Celery's own variables before the application is imported, so that code which reads them agrees. A URL is
never printed with its password.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlencode, urlsplit

from alphaswarm_runtime.errors import BrokerUnreachableError, ConfigurationError
from alphaswarm_runtime.settings.credentials import CredentialResolver
from alphaswarm_runtime.type_aliases import App, Client, Connection

logger = logging.getLogger("alphaswarm_runtime.transport.broker")

DEFAULT_PORT = "6379"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"", "0", "false", "no", "off"})
PASSWORD = re.compile(r"(?P<head>[a-z+]+://[^:@/?#]*):[^@/]*@")
REDIS_SCHEMES = ("redis://", "rediss://", "sentinel://")
RESULTS = "CELERY_RESULT_BACKEND"
STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
COMMAND_TIMEOUT = 2.0  # seconds for one command of our own: the event loop is blocked meanwhile
RETRY_INTERVAL = 2.0  # seconds between two attempts at startup


def mask_password(url: str | None) -> str:
    """Mask the password of a URL, or of each in a list of URLs separated by `;` (failover, Sentinel)."""
    return "-" if url is None else PASSWORD.sub(r"\g<head>:***@", url)


def export_urls(environ: MutableMapping[str, str], resolver: CredentialResolver) -> bool:
    """Set Celery's variables for broker and result backend, where the environment says where they are.

    Returns:
        Whether the environment has a whole URL of the result backend; else an application's own stays.

    Raises:
        ConfigurationError: a part of a URL is malformed, or the credential cannot be read.
    """
    broker = environ.get("CELERY_BROKER_URL") or environ.get("ALPHASWARM_BROKER_URL")
    given = environ.get(RESULTS) or environ.get("ALPHASWARM_RESULT_BACKEND")
    results = given
    if environ.get("ALPHASWARM_BROKER_HOST") and not (broker and results):
        url_of_database = _url_builder(environ, resolver)
        broker = broker or url_of_database(_database_number(environ, "ALPHASWARM_BROKER_DB", "0"))
        results = results or url_of_database(_database_number(environ, "ALPHASWARM_RESULT_DB", "1"))
    for key, value in (("CELERY_BROKER_URL", broker), (RESULTS, results)):
        if value:
            _check_url(key, value)
            environ[key] = value
    return bool(given)


def choose_results(app: App, environ: MutableMapping[str, str], *, given: bool) -> None:
    """Leave the application its own result backend; only a whole URL in the environment, `given`, overrides it.

    Celery prefers the variable to the application's setting, so the variable goes where the latter is to stay.
    """
    if (exported := environ.pop(RESULTS, None)) is None:
        return
    own = app.conf.result_backend
    if own and own != exported and not given:
        logger.info("results go to the application's own backend, %s", mask_password(own))
        return
    environ[RESULTS] = exported
    if own and own != exported:
        to, reason = mask_password(exported), "the environment says where results go"
        logger.warning("override result_backend: %s (the application's) -> %s: %s", mask_password(own), to, reason)


def _check_url(key: str, urls: str) -> None:
    """Refuse what is no URL, without any part of it: it may be the password that makes it none."""
    for url in urls.split(";"):
        if not url.startswith(REDIS_SCHEMES):
            continue  # another result backend, whose URLs have forms of their own
        try:
            parts = urlsplit(url)
            readable = parts.port is None or parts.port > 0
        except ValueError:
            readable = False
        behind_host = f"{parts.path}{parts.query}{parts.fragment}" if readable else ""
        if not readable or "@" in behind_host or STRAY_PERCENT.search(url):
            raise ConfigurationError(
                f"{key} is no URL that can be read. In a password, write each of / # ? @ % as its code "
                "(%2F %23 %3F %40 %25)."
            )


def _url_builder(environ: Mapping[str, str], resolver: CredentialResolver) -> Callable[[str], str]:
    tls = environ.get("ALPHASWARM_BROKER_TLS", "").lower()
    if tls not in TRUE | FALSE:
        raise ConfigurationError(f"ALPHASWARM_BROKER_TLS is {tls!r}; it must be true or false.")
    options = {}
    if tls in TRUE:
        options["ssl_cert_reqs"] = "CERT_REQUIRED"
        if ca_file := environ.get("ALPHASWARM_BROKER_CA"):
            options["ssl_ca_certs"] = ca_file
    secret = resolver.resolve("redis", "broker")
    user = quote(environ.get("ALPHASWARM_BROKER_USER", ""), safe="")
    password = "" if secret is None else ":" + quote(secret.reveal(), safe="")
    login = f"{user}{password}@" if user or password else ""
    host, port = environ["ALPHASWARM_BROKER_HOST"], environ.get("ALPHASWARM_BROKER_PORT") or DEFAULT_PORT
    scheme, query = ("rediss", "?" + urlencode(options)) if options else ("redis", "")
    return lambda database: f"{scheme}://{login}{host}:{port}/{database}{query}"


def _database_number(environ: Mapping[str, str], key: str, default: str) -> str:
    text = environ.get(key) or default
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{key} is {text!r}; it must be the number of a Redis database.")
    return text


class RedisConnection:
    """This process' own connection to the broker: the application's options (TLS, Sentinel, login), short timeouts.

    Only for the parent process: a child that inherits it by fork must not use it.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._connection: Connection = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Yield a redis-py client, and close the connection after one of `errors`.

        All that are raised here are among the consumer's `connection_errors`, after which a worker connects again.
        """
        from kombu.exceptions import OperationalError
        from redis.exceptions import ConnectionError as RedisConnectionError

        if self._connection is None:
            self._connection = self._app.connection(
                self._app.conf.broker_read_url,
                transport_options={
                    "socket_timeout": COMMAND_TIMEOUT,
                    "socket_connect_timeout": COMMAND_TIMEOUT,
                    "retry_on_timeout": False,
                    "max_retries": 0,  # one attempt: the caller decides about the next
                },
            )
        try:
            with self._connection.default_channel.conn_or_acquire() as client:
                yield client
        except OperationalError as error:
            # While it connects, kombu calls every error so, which is none of its `connection_errors`: it would end a
            # worker that connects again.
            self.close()
            raise (error.__cause__ or RedisConnectionError(str(error))) from None
        except self.errors:
            self.close()
            raise

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions of a broker that does not answer, or refuses as a replica, as busy or for want of a right."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import ConnectionError as RedisConnectionError
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as RedisTimeoutError

        return (RedisConnectionError, RedisTimeoutError, ResponseError, OperationalError, OSError)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self.errors):
                connection.release()


def is_login_refused(error: BaseException) -> bool:
    """Return whether the broker answered, and refuses this user or password."""
    from redis.exceptions import AuthenticationError, NoPermissionError

    return isinstance(error.__cause__ or error, AuthenticationError | NoPermissionError)


def require_redis(app: App) -> None:
    """Refuse an application whose broker is not Redis: neither the scaler nor redelivery would work.

    Raises:
        ConfigurationError: the broker uses another transport.
    """
    transport = app.connection_for_read().transport_cls
    if transport not in ("redis", "rediss", "sentinel"):
        raise ConfigurationError(
            f"the broker is {mask_password(app.conf.broker_read_url)} (transport {transport}); the fleet runs on "
            "Redis. Set CELERY_BROKER_URL, or ALPHASWARM_BROKER_HOST and the other ALPHASWARM_BROKER_* variables."
        )


def wait_until_ready(app: App, seconds: int) -> None:
    """Wait until the broker answers, and report each failed attempt on standard error.

    Raises:
        BrokerUnreachableError: it did not answer within `seconds`.
        ConfigurationError: it refuses the login, or cannot be the fleet's broker.
    """
    from alphaswarm_runtime.transport import broker_check

    redis, url, started_at = RedisConnection(app), mask_password(app.conf.broker_read_url), time.monotonic()
    while True:
        try:
            with redis.client() as client:
                client.ping()
                broker_check.check(client, url)
        except redis.errors as error:
            if is_login_refused(error):
                raise ConfigurationError(
                    f"broker {url} refuses the login: {error}. Check ALPHASWARM_BROKER_USER and credential "
                    "redis/broker."
                ) from None
            waited = time.monotonic() - started_at
            if waited >= seconds:
                raise BrokerUnreachableError(
                    f"broker {url} did not answer within {seconds} s: {error}. Check its address and the network "
                    "rules; ALPHASWARM_BROKER_WAIT is the time allowed."
                ) from None
            sys.stderr.write(f"alphaswarm-runtime: broker {url} does not answer ({waited:.0f} of {seconds} s)\n")
            sys.stderr.flush()
            time.sleep(min(RETRY_INTERVAL, seconds))
        else:
            redis.close()
            return
