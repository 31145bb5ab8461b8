"""Resolves secrets from three sources, the same for every service, in this order:

    environment      <SERVICE>_<PURPOSE>, upper case, ":" and "-" become "_"       REDIS_BROKER
    file             <bootstrap_state_dir>/<service>-<purpose>.json                redis-broker.json
    Secrets Manager  alphaswarm/<service>/<purpose>  (needs the `aws` extra)       alphaswarm/redis/broker

File and secret hold a JSON string, or an object with `value` or `password`; a secret may be plain text as well.
A value is a `Secret` from the moment it is read: only `reveal()` returns it, so no log line or traceback shows it.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from alphaswarm_runtime.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]*")
FIELDS = ("value", "password")
FetchSecret = Callable[[str], str | None]


class Secret:
    """A value that neither str() nor repr() shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True)
class CredentialResolver:
    """Resolves secrets. `fetch` reads from Secrets Manager; None where that is not configured."""

    environ: Mapping[str, str]
    bootstrap_state_dir: Path | None = None
    fetch: FetchSecret | None = None

    def resolve(self, service: str, purpose: str) -> Secret | None:
        """Return the secret, or None when no source has it.

        Raises:
            ConfigurationError: a name is malformed, or a source cannot be read.
        """
        for label, part in (("service", service), ("purpose", purpose)):
            if not NAME.fullmatch(part):
                raise ConfigurationError(f"credential {label} {part!r} is no name: letters, digits and : _ . - only")
        for source in (self._from_environment, self._from_file, self._from_secrets_manager):
            if (value := source(service, purpose)) is not None:
                if value != value.rstrip("\r\n"):
                    raise ConfigurationError(f"credential {service}/{purpose} ends with a line break: write it without")
                return Secret(value)
        return None

    def _from_environment(self, service: str, purpose: str) -> str | None:
        return self.environ.get(re.sub(r"[:.-]", "_", f"{service}_{purpose}").upper()) or None

    def _from_file(self, service: str, purpose: str) -> str | None:
        if self.bootstrap_state_dir is None:
            return None
        file = self.bootstrap_state_dir / f"{service}-{purpose}.json"
        try:
            return _value_of(json.loads(file.read_text()), str(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            # Not the error's text: a JSON error may quote what it read.
            raise ConfigurationError(f"credential file {file} cannot be read ({type(error).__name__})") from None

    def _from_secrets_manager(self, service: str, purpose: str) -> str | None:
        if self.fetch is None:
            return None
        name = f"alphaswarm/{service}/{purpose}"
        text = self.fetch(name)
        if text is None:
            return None
        try:
            data = json.loads(text)
        except ValueError:
            return text
        return _value_of(data, f"secret {name}") if isinstance(data, dict | str) else text


def _value_of(data: object, source: str) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, dict):
        for field in FIELDS:
            if isinstance(data.get(field), str):
                return str(data[field])
    raise ConfigurationError(f"{source} must hold a JSON string, or an object with one of: {', '.join(FIELDS)}")


def from_environment(environ: Mapping[str, str]) -> CredentialResolver:
    """Create the resolver: files where ALPHASWARM_BOOTSTRAP_STATE_DIR is set, Secrets Manager where a region is."""
    directory = environ.get("ALPHASWARM_BOOTSTRAP_STATE_DIR")
    in_aws = bool(environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"))
    return CredentialResolver(environ, Path(directory) if directory else None, secrets_manager() if in_aws else None)


def secrets_manager() -> FetchSecret | None:
    """Return a function that reads from AWS Secrets Manager; None when the `aws` extra is not installed."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return None

    def fetch(name: str) -> str | None:
        try:
            answer = boto3.client("secretsmanager").get_secret_value(SecretId=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                return None
            raise ConfigurationError(f"Secrets Manager refuses {name}: {code}") from None
        except BotoCoreError as error:
            raise ConfigurationError(f"Secrets Manager cannot be reached for {name}: {type(error).__name__}") from None
        text = answer.get("SecretString")
        return None if text is None else str(text)

    return fetch
