"""boto3 clients for one configured provider: its endpoints, region, credentials and default tags.

Only services whose endpoint the provider names are called. A stand-in must never reach a real account: without an
endpoint it raises an error instead of using Amazon's. A client is made once for each service and region, since that
takes longer than a call.
"""

import json
import os
import threading
from typing import Any
from urllib.parse import urlsplit

from offline.providers.plugin import ProviderError
from offline.providers.values import Json, Object, is_unknown

DEFAULT_REGION = "us-east-1"
ATTEMPTS = 2
CONNECT_SECONDS, ANSWER_SECONDS = 3, 30


class NotFoundError(Exception):
    """There is no such object."""


class AwsClient:
    """Calls AWS services as the provider is configured."""

    def __init__(self, config: Object) -> None:
        self._config = {key: _parsed(value) for key, value in config.items()}
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The provider's region."""
        region = self._config.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return str(region or DEFAULT_REGION)

    @property
    def default_tags(self) -> dict[str, str]:
        """The tags of every object."""
        return dict((self._config.get("defaultTags") or {}).get("tags") or {})

    @property
    def endpoints(self) -> dict[str, str]:
        """The URL of each service that has one."""
        given = self._config.get("endpoints") or []
        merged = {service: url for item in given for service, url in item.items() if url and not is_unknown(url)}
        return {str(service): str(url) for service, url in merged.items()}

    def call(self, service: str, operation: str, region: str | None = None, **parameters: Json) -> Json:
        """Call an operation of a service.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the operation.
            region: another region than the provider's.
            parameters: the operation's; those that are None are left out.

        Returns:
            The response.

        Raises:
            NotFoundError: the service has no such object.
            ProviderError: any other error.
        """
        import botocore.exceptions as failures  # slow; not needed before the first call

        client = self._client(service, region or self.region)
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            return getattr(client, operation)(**given)
        except failures.ClientError as error:
            details = error.response["Error"]
            if _is_missing(details["Code"]):
                raise NotFoundError(f"{details['Code']}: {details['Message']}") from None
            raise ProviderError(f"{service} {operation}: {details['Code']}: {details['Message']}") from None
        except (failures.ConnectionError, failures.HTTPClientError):
            url = self.endpoints[service]
            raise ProviderError(f"No AWS endpoint answers at {url} (for {service}). Is `make up` done?") from None
        except failures.ParamValidationError as error:
            raise ProviderError(f"{service} {operation}: {' '.join(str(error).split())}") from None
        except failures.BotoCoreError as error:
            raise ProviderError(f"{service} {operation}: {error}") from None

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
            raise ProviderError(
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


def _parsed(value: Json) -> Json:
    """Parse a provider input: one that is no string arrives as JSON in a string."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return value


def _is_missing(code: str) -> bool:
    return code in ("NoSuchEntity", "NotFoundException") or (
        code.endswith("NotFoundException") and code != "ImageNotFoundException"
    )
