from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import CommandError
from common.progress import Progress
from local.cluster.keda_manifests import (
    INSTALLED,
    fingerprint,
    for_loopback,
    namespace_with_fingerprint,
    render,
    with_release_images,
)
from toolchain import ensure

UPSTREAM: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "keda-operator"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keda-metrics-apiserver", "namespace": "keda"}},
    {
        "kind": "Deployment",
        "metadata": {"name": "keda-operator"},
        "spec": {"containers": [{"image": "ghcr.io/kedacore/keda:main"}, {"image": "example.test/other:1"}]},
    },
    {
        "kind": "APIService",
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
        "spec": {"insecureSkipTLSVerify": True, "service": {"name": "keda-metrics-apiserver", "namespace": "keda"}},
    },
    {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "keda-admission"},
        "webhooks": [
            {
                "name": "vscaledobject.kb.io",
                "clientConfig": {"service": {"name": "keda-admission-webhooks", "path": "/validate"}},
                "failurePolicy": "Ignore",
            }
        ],
    },
]


def local() -> dict[str, dict[str, Any]]:
    made = for_loopback(deepcopy(UPSTREAM), adapter=6444, webhooks=9443, authority="Q0E=")
    return {manifest["kind"]: manifest for manifest in made}


def test_upstreams_roles_are_applied_as_they_are() -> None:
    assert local()["ClusterRole"] == UPSTREAM[1]


def test_no_deployment_waits_for_a_node_that_never_comes() -> None:
    assert "Deployment" not in local()


def test_admission_is_asked_on_loopback_and_its_absence_is_no_consent() -> None:
    hook = local()["ValidatingWebhookConfiguration"]["webhooks"][0]
    assert hook["clientConfig"] == {"url": "https://127.0.0.1:9443/validate", "caBundle": "Q0E="}
    assert hook["failurePolicy"] == "Fail", "a ScaledObject passes unseen while the webhook starts"


def test_the_metrics_api_is_found_by_a_name_that_leads_to_loopback() -> None:
    service, registration = local()["Service"], local()["APIService"]["spec"]
    assert service["spec"]["externalName"] == "localhost"
    assert registration["service"]["port"] == service["spec"]["ports"][0]["port"] == 6444
    assert registration["caBundle"] == "Q0E="
    assert "insecureSkipTLSVerify" not in registration


def test_a_real_cluster_gets_the_images_of_the_release() -> None:
    containers = with_release_images(UPSTREAM, "2.20.2")[3]["spec"]["containers"]
    assert [container["image"] for container in containers] == ["ghcr.io/kedacore/keda:2.20.2", "example.test/other:1"]


def test_the_namespace_says_which_manifests_are_in() -> None:
    assert namespace_with_fingerprint(UPSTREAM, "abc")["metadata"]["annotations"] == {INSTALLED: "abc"}


def test_new_ports_and_new_manifests_are_installed_anew(tmp_path: Path) -> None:
    (tmp_path / "role.yaml").write_text("rules: []")
    first = fingerprint(tmp_path, 6444, 9443)
    assert fingerprint(tmp_path, 6444, 9443) == first
    assert fingerprint(tmp_path, 6444, 9444) != first
    (tmp_path / "role.yaml").write_text("rules: [{}]")
    assert fingerprint(tmp_path, 6444, 9443) != first


def test_a_folder_without_kedas_manifests_is_said_to_be_incomplete(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="make up"):
        render(Path("kubectl"), tmp_path)


def test_manifests_are_rendered_by_kustomize(tmp_path: Path) -> None:
    kubectl = ensure(["kubectl"], Progress())["kubectl"]
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "kustomization.yaml").write_text("namespace: keda\nresources: [account.yaml]\n")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "keda-operator"}}
    (tmp_path / "default" / "account.yaml").write_text(yaml.safe_dump(account))
    assert render(kubectl, tmp_path)[0]["metadata"]["namespace"] == "keda"
