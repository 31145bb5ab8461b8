"""One AWS account as the provider's inputs describe it: endpoints, region, credentials, default tags.

Only services whose endpoint the provider names are called. A stand-in has no business in a real account: without an
endpoint it says so instead of falling back to Amazon's. Clients are made once for each service and region; making
one costs more than a call.
"""

import json
import os
import threading
from typing import Any
from urllib.parse import urlsplit

from offline.providers.plugin import PluginError
from offline.providers.values import Json, Object, is_unknown

DEFAULT_REGION = "us-east-1"
ATTEMPTS = 2
CONNECT_SECONDS, ANSWER_SECONDS = 3, 30


class Gone(Exception):  # noqa: N818 (a state of the object, not a failure)
    """The object asked for does not exist."""


class Cloud:
    """Calls the services of one configured provider."""

    def __init__(self, config: Object) -> None:
        self._config = {key: _opened(value) for key, value in config.items()}
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The provider's region."""
        region = self._config.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return str(region or DEFAULT_REGION)

    @property
    def default_tags(self) -> dict[str, str]:
        """Tags that every object carries."""
        return dict((self._config.get("defaultTags") or {}).get("tags") or {})

    @property
    def endpoints(self) -> dict[str, str]:
        """Service to address."""
        given = self._config.get("endpoints") or []
        merged = {service: url for item in given for service, url in item.items() if url and not is_unknown(url)}
        return {str(service): str(url) for service, url in merged.items()}

    def call(self, service: str, operation: str, region: str | None = None, **parameters: Json) -> Json:
        """Call one operation, leaving out parameters that are None; raises Gone for what does not exist."""
        import botocore.exceptions as failures  # slow; not needed before the first call

        client = self._client(service, region or self.region)
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            return getattr(client, operation)(**given)
        except failures.ClientError as error:
            details = error.response["Error"]
            if _is_missing(details["Code"]):
                raise Gone(f"{details['Code']}: {details['Message']}") from None
            raise PluginError(f"{service} {operation}: {details['Code']}: {details['Message']}") from None
        except (failures.ConnectionError, failures.HTTPClientError):
            url = self.endpoints[service]
            raise PluginError(f"No AWS endpoint answers at {url} (for {service}). Is `make up` done?") from None
        except failures.ParamValidationError as error:
            raise PluginError(f"{service} {operation}: {' '.join(str(error).split())}") from None
        except failures.BotoCoreError as error:
            raise PluginError(f"{service} {operation}: {error}") from None

    def _client(self, service: str, region: str) -> Json:
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._new_client(service, region)
            return self._clients[service, region]

    def _new_client(self, service: str, region: str) -> Json:
        import boto3
        from botocore.config import Config

        url = self.endpoints.get(service)
        if url is None:
            raise PluginError(
                "The stand-in AWS plugin calls only endpoints that the provider names, and it names none for "
                f"{service}. Set aws:endpoints, or install Pulumi's released AWS provider to work with a real account."
            )
        loopback = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
        settings = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"total_max_attempts": ATTEMPTS},
            max_pool_connections=32,
            proxies={} if loopback else None,
        )
        session = boto3.Session(
            aws_access_key_id=self._config.get("accessKey"),
            aws_secret_access_key=self._config.get("secretKey"),
            aws_session_token=self._config.get("token"),
            profile_name=self._config.get("profile"),
            region_name=region,
        )
        return session.client(service, endpoint_url=url, config=settings)  # type: ignore[call-overload]


def _opened(value: Json) -> Json:
    """Provider inputs that are not texts arrive as JSON in a text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return value


def _is_missing(code: str) -> bool:
    return code in ("NoSuchEntity", "NotFoundException") or (
        code.endswith("NotFoundException") and code != "ImageNotFoundException"
    )
