"""The cluster is asked for its version and for KEDA before anything is registered."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pulumi import RunError

from config.loading import parse
from config.preflight import EXTERNAL_SECRETS_CRD, check_cluster
from config.schema import Settings
from queues import QUEUES
from tests.program.harness import configuration, fail, run, secrets_of

Answers = Mapping[str, "subprocess.CompletedProcess[str]"]
MISSING = 'Error from server (NotFound): customresourcedefinitions "scaledobjects.keda.sh" not found'
FORBIDDEN = 'Error from server (Forbidden): customresourcedefinitions is forbidden: User "ci" cannot get it'
AWAY = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"


def refused(text: str) -> "subprocess.CompletedProcess[str]":
    """What kubectl would say on its standard error."""
    return subprocess.CompletedProcess([], 1, "", text)


def kubernetes(version: str) -> Answers:
    """A cluster of that version."""
    return {"/version": subprocess.CompletedProcess([], 0, f'{{"gitVersion": "{version}"}}', "")}


def keda(version: str | None) -> Answers:
    """A cluster whose KEDA says that version."""
    labels = "{}" if version is None else f'{{"app.kubernetes.io/version": "{version}"}}'
    answer = subprocess.CompletedProcess([], 0, f'{{"metadata": {{"labels": {labels}}}}}', "")
    return {"customresourcedefinition": answer}


NO_KEDA: Answers = {"customresourcedefinition": refused(MISSING)}
NO_CLUSTER: Answers = {"/version": refused(AWAY)}


def fake_kubectl(folder: Path, script: str) -> Path:
    """A kubectl that writes its arguments down, a line a call, and runs `script`."""
    calls = folder / "calls"
    kubectl = folder / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{script}\n')
    kubectl.chmod(0o755)
    return calls


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
    failure = fail(configuration("dev"), {}, preview=preview, kubectl=NO_KEDA)
    assert isinstance(failure.error, RunError)
    assert "helm install keda kedacore/keda" in str(failure.error)
    assert "fleet:layout to per-image" in str(failure.error)
    assert not failure.registrations, "half a fleet would stand that nothing scales"


@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
@pytest.mark.parametrize("version", ["v1.34.9", "v1.29.0-eks-a1b2c3d", "v1.34.1+k3s1"])
def test_a_cluster_whose_autoscalers_have_no_tolerance_is_refused_in_both_layouts(version: str, layout: str) -> None:
    failure = fail(configuration("dev", layout=layout), {}, preview=True, kubectl=kubernetes(version))
    assert f"Kubernetes {version}" in str(failure.error)
    assert "1.35 or newer" in str(failure.error)
    assert not failure.registrations


@pytest.mark.parametrize("version", ["v1.35.0", "v1.36.3-gke.100", "v1.100.0", "v2.0.0", "main", ""])
def test_a_recent_cluster_and_one_of_an_unreadable_version_are_not_refused(version: str) -> None:
    assert run(configuration("dev"), {}, kubectl=kubernetes(version)).workers()


def test_an_old_keda_is_refused_with_the_version_that_is_there() -> None:
    failure = fail(configuration("dev"), {}, kubectl=keda("2.19.0"))
    assert "KEDA 2.19.0; 2.20 or newer is needed" in str(failure.error)
    assert not failure.registrations


@pytest.mark.parametrize("version", ["2.20.0", "v2.21.0", "3.0.1", "main", None])
def test_a_recent_keda_and_one_that_does_not_say_are_not_refused(version: str | None) -> None:
    assert run(configuration("dev"), {}, kubectl=keda(version)).workers()


def test_an_old_cluster_with_an_old_keda_hears_of_both_at_once() -> None:
    failure = fail(configuration("dev"), {}, kubectl={**kubernetes("v1.30.0"), **keda("2.14.0")})
    assert "Kubernetes v1.30.0" in str(failure.error)
    assert "KEDA 2.14.0" in str(failure.error)


def test_who_may_not_look_for_keda_is_warned_and_not_stopped() -> None:
    found = run(configuration("dev"), {}, kubectl={"customresourcedefinition": refused(FORBIDDEN)})
    assert f"Whether KEDA is installed was not checked: {FORBIDDEN}" in found.warnings()


def test_an_unreachable_cluster_stops_an_update() -> None:
    failure = fail(configuration("dev"), {}, kubectl=NO_CLUSTER)
    assert str(failure.error) == f"The cluster cannot be reached: {AWAY}"
    assert not failure.registrations


def test_an_unreachable_cluster_is_a_warning_in_a_preview_which_needs_none() -> None:
    found = run(configuration("dev"), {}, preview=True, kubectl=NO_CLUSTER)
    warning = f"No cluster was reached, so the versions of Kubernetes and KEDA were not checked: {AWAY}"
    assert warning in found.warnings()
    assert set(found.workers()) == {queue.deployment for queue in QUEUES.queues}


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_the_layout_without_keda_asks_for_none(stack: str) -> None:
    found = run(configuration(stack, layout="per-image"), secrets_of(stack), kubectl=NO_KEDA)
    assert len(found.workers()) == 2


FETCHED = {"kind": "external", "host": "redis.example.com", "externalSecret": {"store": "vault", "key": "redis"}}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_a_password_to_fetch_needs_the_operator_that_fetches_it(preview: bool) -> None:
    missing = refused('Error from server (NotFound): customresourcedefinitions "externalsecrets…" not found')
    failure = fail(configuration("dev", broker=FETCHED), {}, preview=preview, kubectl={EXTERNAL_SECRETS_CRD: missing})
    assert "no External Secrets operator, which fleet:broker.externalSecret needs" in str(failure.error)
    assert not failure.registrations
    assert run(configuration("dev", broker=FETCHED), {}).workers()
    forbidden = run(configuration("dev", broker=FETCHED), {}, kubectl={EXTERNAL_SECRETS_CRD: refused(FORBIDDEN)})
    assert f"Whether External Secrets is installed was not checked: {FORBIDDEN}" in forbidden.warnings()


def test_a_cluster_that_answers_nothing_readable_is_left_in_peace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    fake_kubectl(tmp_path, "echo ok")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check_cluster(settings())
    assert said == []


def test_the_stacks_own_cluster_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_kubectl(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check_cluster(settings(context="blue", kubeconfig="/etc/blue"))
    version, definition = calls.read_text().splitlines()
    assert version.startswith("get --raw /version ")
    assert definition.startswith("get customresourcedefinition scaledobjects.keda.sh ")
    for call in (version, definition):
        assert {"--context=blue", "--kubeconfig=/etc/blue"} <= set(call.split()), "another cluster was asked"


def test_without_kubectl_a_warning_says_what_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check_cluster(settings())
    assert said == ["kubectl is not on PATH, so the versions of Kubernetes and KEDA were not checked."]


def test_a_kubectl_that_hangs_or_says_nothing_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fake_kubectl(tmp_path, "exit 3")
    with pytest.raises(RunError, match="kubectl ended with status 3"):
        check_cluster(settings())
    fake_kubectl(tmp_path, "exec sleep 5")
    monkeypatch.setattr("config.preflight.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(RunError, match=r"kubectl had no answer within 0\.2 s"):
        check_cluster(settings())
