"""Secrets: resolved in the stated order, part of a URL, never shown."""

import json
from pathlib import Path

import pytest
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import credentials
from alphaswarm_runtime.settings.credentials import CredentialResolver, Secret
from alphaswarm_runtime.transport import broker
from alphaswarm_runtime.transport.broker import mask_password


class ResolverFactory:
    """Makes resolvers with all three sources. `fetched` are the names that Secrets Manager was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder
        self.fetched: list[str] = []

    def __call__(self, environ: dict[str, str], *, with_file: bool = True) -> CredentialResolver:
        return CredentialResolver(environ, self.folder if with_file else None, self._fetch)

    def _fetch(self, name: str) -> str | None:
        self.fetched.append(name)
        return "from aws" if name == "alphaswarm/redis/broker" else None


@pytest.fixture
def resolver(tmp_path: Path) -> ResolverFactory:
    (tmp_path / "redis-broker.json").write_text(json.dumps({"value": "from file"}))
    return ResolverFactory(tmp_path)


def resolve(resolver: CredentialResolver, service: str, purpose: str) -> str | None:
    secret = resolver.resolve(service, purpose)
    return None if secret is None else secret.reveal()


def test_the_environment_comes_first_then_the_file_then_secrets_manager(resolver: ResolverFactory) -> None:
    assert resolve(resolver({"REDIS_BROKER": "from environment"}), "redis", "broker") == "from environment"
    assert resolve(resolver({}), "redis", "broker") == "from file"
    assert not resolver.fetched, "Secrets Manager is asked although an earlier source has the secret"
    assert resolve(resolver({}, with_file=False), "redis", "broker") == "from aws"


def test_a_colon_becomes_an_underscore_in_the_environment(resolver: ResolverFactory) -> None:
    assert resolve(resolver({"POLYGON_IO_API_KEY": "k"}), "polygon:io", "api:key") == "k"


def test_a_secret_that_no_source_has_is_none(resolver: ResolverFactory) -> None:
    assert resolver({}).resolve("neo4j", "graph") is None


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


@pytest.mark.parametrize("text", ["{hunter2", '{"other": "hunter2"}', "[1]"])
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(
    resolver: ResolverFactory, tmp_path: Path, text: str
) -> None:
    (tmp_path / "redis-broker.json").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        resolver({}).resolve("redis", "broker")
    assert "redis-broker.json" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", ".hidden"])
def test_a_name_that_would_leave_the_folder_is_refused(resolver: ResolverFactory, name: str) -> None:
    with pytest.raises(ConfigurationError):
        resolver({}).resolve(name, "broker")


def exported(**environ: str) -> dict[str, str]:
    variables = dict(environ)
    broker.export_urls(variables, credentials.from_environment(variables))
    return {key: variables.get(key, "") for key in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")}


def test_the_url_is_built_and_its_password_quoted() -> None:
    assert exported(
        ALPHASWARM_BROKER_HOST="redis.data.svc", ALPHASWARM_BROKER_USER="fleet", REDIS_BROKER="a/b:c@d"
    ) == {
        "CELERY_BROKER_URL": "redis://fleet:a%2Fb%3Ac%40d@redis.data.svc:6379/0",
        "CELERY_RESULT_BACKEND": "redis://fleet:a%2Fb%3Ac%40d@redis.data.svc:6379/1",
    }


def test_tls_demands_a_valid_certificate() -> None:
    url = exported(ALPHASWARM_BROKER_HOST="r", ALPHASWARM_BROKER_TLS="true", ALPHASWARM_BROKER_CA="/ca.pem")
    assert url["CELERY_BROKER_URL"] == "rediss://r:6379/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=%2Fca.pem"


def test_a_whole_url_wins_and_without_anything_the_applications_own_stays() -> None:
    url = exported(CELERY_BROKER_URL="redis://mine/3", ALPHASWARM_BROKER_HOST="other")
    assert url["CELERY_BROKER_URL"] == "redis://mine/3"
    assert url["CELERY_RESULT_BACKEND"] == "redis://other:6379/1"
    assert exported() == {"CELERY_BROKER_URL": "", "CELERY_RESULT_BACKEND": ""}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@h:1/0", "redis://user:***@h:1/0"),
        ("rediss://:p%40w@h/0?ssl_cert_reqs=x", "rediss://:***@h/0?ssl_cert_reqs=x"),
        ("sentinel://:a@h1:1;sentinel://:b@h2:1", "sentinel://:***@h1:1;sentinel://:***@h2:1"),
        ("redis://h/0", "redis://h/0"),
        (None, "-"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str | None, shown: str) -> None:
    assert mask_password(url) == shown
