"""Where a kubeconfig is found, and how it is read."""

from pathlib import Path

import pytest

from offline.providers.kube_config import Access, load
from offline.providers.plugin import ProviderError
from offline.providers.values import Json

TEXT = """
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team}}
- {name: two, context: {cluster: d, user: t}}
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:1/", certificate-authority: ca.crt}}
- {name: d, cluster: {server: "https://d", insecure-skip-tls-verify: true}}
users:
- {name: u, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}
- {name: t, user: {token: word}}
"""


def access_of(given: str | None, context: str | None = None) -> Access:
    access = load(given, context)
    assert access is not None
    return access


def test_a_kubeconfig_may_be_a_path_or_its_text(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(TEXT)
    access = access_of(str(file))
    assert access.server == "https://127.0.0.1:1"
    assert access.namespace == "team"
    assert access.authority == str(tmp_path / "ca.crt"), "a relative path is meant from the file's own folder"
    assert access_of(TEXT).server == access.server


def test_inline_certificates_are_kept_where_nobody_else_can_read_them() -> None:
    certificate, key = access_of(TEXT).certificate or ("", "")
    assert Path(certificate).read_text() == "cert"
    assert Path(key).read_text() == "key"
    assert Path(key).parent.stat().st_mode & 0o077 == 0


def test_another_context_may_be_named() -> None:
    access = access_of(TEXT, "two")
    assert (access.server, access.token, access.authority) == ("https://d", "word", False)


def test_an_unknown_context_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProviderError, match="no context named 'three'; it has one, two"):
        load(TEXT, "three")


def test_the_environment_names_a_kubeconfig_where_the_provider_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text(TEXT)
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert access_of(None).server == "https://127.0.0.1:1"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert load(None) is None


@pytest.mark.parametrize(("given", "says"), [("/nowhere/config", "there is none"), ("a: [\n", "not YAML")])
def test_a_kubeconfig_that_cannot_be_read_is_one_sentence(given: Json, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        load(given)
