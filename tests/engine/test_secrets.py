"""The broker's password and the passphrase are in the places meant for them, and nowhere else."""

import base64

import pytest

from .checkout import command_lines
from .fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

MEANT = ("state/redis", "state/etcd", "run/passphrase")  # Redis' own, the cluster's store, and the passphrase itself


def test_no_file_output_or_command_line_shows_a_secret(fleet: Fleet) -> None:
    state = fleet.checkout.paths.state
    password = fleet.infrastructure.services.redis.password
    passphrase = (state / "run" / "passphrase").read_text().strip()
    needles = [text.encode() for text in (password, base64.b64encode(password.encode()).decode(), passphrase)]
    texts = [
        fleet.pulumi("preview", "--diff").ok().text,
        fleet.pulumi("preview", "--json").ok().text,
        fleet.up("--refresh", "--diff").ok().text,
        str(fleet.stack.outputs()),
        str(fleet.state()),
        fleet.checkout.local("status").ok().text,
        *command_lines(),
    ]
    for text in texts:
        assert not any(needle in text.encode() for needle in needles), "a secret is printed"
    files = [file for file in state.rglob("*") if file.is_file() and not may_hold_secrets(str(file.relative_to(state)))]
    assert any("pulumi" in str(file) for file in files)
    shown = [str(file) for file in files if any(needle in file.read_bytes() for needle in needles)]
    assert shown == []


def test_the_password_reaches_the_cluster_and_stands_encrypted_in_the_state(fleet: Fleet) -> None:
    secret = next(found for key, found in fleet.objects().items() if key.startswith("Secret/"))
    password = fleet.infrastructure.services.redis.password
    assert base64.b64decode(secret["data"]["password"]).decode() == password
    kept = next(resource for resource in fleet.state() if resource["type"] == "kubernetes:core/v1:Secret")
    assert "ciphertext" in str(kept["inputs"])


def may_hold_secrets(name: str) -> bool:
    return name.startswith(MEANT)
