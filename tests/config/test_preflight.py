"""KEDA is looked for before anything is registered, in the cluster that the stack names."""

import subprocess
from pathlib import Path

import pytest
from pulumi import RunError

from config.loading import parse
from config.preflight import require_keda
from config.schema import Settings
from queues import QUEUES
from tests.program.harness import configuration, fail, run, secrets_of

MISSING = 'Error from server (NotFound): customresourcedefinitions "scaledobjects.keda.sh" not found'
AWAY = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"


def answer(text: str, status: int = 1) -> "subprocess.CompletedProcess[str]":
    """What kubectl would say on its standard error."""
    return subprocess.CompletedProcess([], status, "", text)


def fake_kubectl(folder: Path, script: str) -> Path:
    """A kubectl that writes its arguments down and runs `script`."""
    arguments = folder / "arguments"
    kubectl = folder / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {arguments}\n{script}\n')
    kubectl.chmod(0o755)
    return arguments


def settings(**cluster: str) -> Settings:
    """The stack `dev` on some cluster."""
    return parse(configuration("dev", cluster=cluster))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings."""
    lines: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lines.append)
    return lines


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_a_cluster_without_keda_stops_preview_and_update_with_the_way_to_install_it(preview: bool) -> None:
    failure = fail(configuration("dev"), {}, preview=preview, kubectl=answer(MISSING))
    assert isinstance(failure.error, RunError)
    assert "helm install keda kedacore/keda" in str(failure.error)
    assert "fleet:layout to per-image" in str(failure.error)
    assert not failure.registrations, "half a fleet would stand that nothing scales"


def test_an_unreachable_cluster_stops_an_update() -> None:
    failure = fail(configuration("dev"), {}, kubectl=answer(AWAY))
    assert str(failure.error) == f"The cluster cannot be reached: {AWAY}"
    assert not failure.registrations


def test_an_unreachable_cluster_is_a_warning_in_a_preview_which_needs_none() -> None:
    found = run(configuration("dev"), {}, preview=True, kubectl=answer(AWAY))
    assert found.warnings() == [f"No cluster was reached, so whether KEDA is installed was not checked: {AWAY}"]
    assert set(found.workers()) == {queue.deployment for queue in QUEUES.queues}


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_the_layout_without_keda_asks_for_none(stack: str) -> None:
    found = run(configuration(stack, layout="per-image"), secrets_of(stack), kubectl=answer(MISSING))
    assert len(found.workers()) == 2


def test_a_cluster_with_keda_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    fake_kubectl(tmp_path, "echo customresourcedefinition/scaledobjects.keda.sh")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    require_keda(settings())
    assert said == []


def test_the_stacks_own_cluster_is_asked_for_kedas_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = fake_kubectl(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    require_keda(settings(context="blue", kubeconfig="/etc/blue"))
    asked = arguments.read_text().splitlines()
    assert asked[:3] == ["get", "customresourcedefinition", "scaledobjects.keda.sh"]
    assert {"--context=blue", "--kubeconfig=/etc/blue"} <= set(asked), "another cluster was asked"


def test_without_kubectl_a_warning_says_what_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    require_keda(settings())
    assert said == ["kubectl is not on PATH, so whether KEDA is installed was not checked."]


def test_a_kubectl_that_hangs_or_says_nothing_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fake_kubectl(tmp_path, "exit 3")
    with pytest.raises(RunError, match="kubectl ended with status 3"):
        require_keda(settings())
    fake_kubectl(tmp_path, "exec sleep 5")
    monkeypatch.setattr("config.preflight.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(RunError, match=r"kubectl had no answer within 0\.2 s"):
        require_keda(settings())
