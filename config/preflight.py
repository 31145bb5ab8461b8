"""What the cluster must have before anything is registered: a recent Kubernetes, and KEDA where it is to scale.

A cluster that cannot be reached stops an update, and is a warning in a preview, which needs none.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from config.schema import Cluster, Settings

KEDA_CRD: Final = "scaledobjects.keda.sh"
EXTERNAL_SECRETS_CRD: Final = "externalsecrets.external-secrets.io"
KEDA_VERSION: Final = "2.21.0"  # what the tests of this repository run
KEDA_MINIMUM: Final = (2, 20)  # the oldest that was measured
KUBERNETES_MINIMUM: Final = (1, 35)  # an HPA's tolerance is refused by older API servers, or dropped in silence
VERSION_LABEL: Final = "app.kubernetes.io/version"  # KEDA's chart and its released manifests set it
TIMEOUT_SECONDS = 10
HOW_TO_INSTALL: Final = (
    "Install it once per cluster:\n"
    "  helm repo add kedacore https://kedacore.github.io/charts\n"
    f"  helm install keda kedacore/keda --namespace keda --create-namespace --version {KEDA_VERSION}\n"
    "or set fleet:layout to per-image, which scales by processor time and needs metrics-server instead."
)


@dataclass(frozen=True)
class _KubectlResult:
    """What kubectl printed, or why it failed."""

    output: str = ""
    error: str | None = None


def check_cluster(settings: Settings) -> None:
    """Ask the stack's cluster for its version, and for KEDA if the stack's layout needs it.

    Raises:
        pulumi.RunError: the cluster is too old, lacks KEDA or has an old one, or an update cannot reach it. All that
            is wrong is named at once.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pulumi.log.warn("kubectl is not on PATH, so the versions of Kubernetes and KEDA were not checked.")
        return
    version = _run_kubectl(kubectl, settings.cluster, "get", "--raw", "/version")
    if version.error is not None:
        _report_unreachable(version.error)
        return
    errors = [*_kubernetes_errors(version.output)]
    if settings.layout == "per-queue":
        definition = _run_kubectl(
            kubectl, settings.cluster, "get", "customresourcedefinition", KEDA_CRD, "--output=json"
        )
        errors += _keda_errors(definition)
    if settings.broker.external_secret is not None:
        errors += _external_secrets_errors(
            _run_kubectl(kubectl, settings.cluster, "get", "customresourcedefinition", EXTERNAL_SECRETS_CRD)
        )
    if errors:
        raise pulumi.RunError("\n".join(errors))


def _kubernetes_errors(output: str) -> Iterator[str]:
    reported = _mapping(output).get("gitVersion", "")
    if (version := _major_minor(reported)) and version < KUBERNETES_MINIMUM:
        yield (
            f"The cluster runs Kubernetes {reported}; the autoscalers need {_format_version(KUBERNETES_MINIMUM)} or "
            "newer, whose HorizontalPodAutoscaler has a tolerance. Upgrade the cluster, or choose another one with "
            "fleet:cluster."
        )


def _keda_errors(definition: _KubectlResult) -> Iterator[str]:
    if definition.error is not None:
        if _is_missing("KEDA", definition.error):
            yield f"The cluster has no KEDA, which scales the per-queue layout. {HOW_TO_INSTALL}"
        return
    reported = _mapping(_mapping(_mapping(definition.output).get("metadata")).get("labels")).get(VERSION_LABEL)
    if (version := _major_minor(str(reported))) and version < KEDA_MINIMUM:
        yield f"The cluster has KEDA {reported}; {_format_version(KEDA_MINIMUM)} or newer is needed. {HOW_TO_INSTALL}"


def _external_secrets_errors(definition: _KubectlResult) -> Iterator[str]:
    if definition.error is not None and _is_missing("External Secrets", definition.error):
        yield (
            "The cluster has no External Secrets operator, which fleet:broker.externalSecret needs. Install it once "
            "per cluster, or give the password another way (fleet:broker.existingSecret, fleet:brokerPassword)."
        )


def _is_missing(what: str, error: str) -> bool:
    """Return whether the cluster lacks something; warn where it did not say."""
    if "NotFound" in error:
        return True
    pulumi.log.warn(f"Whether {what} is installed was not checked: {error}")
    return False


def _report_unreachable(error: str) -> None:
    if "Forbidden" in error:
        pulumi.log.warn(f"The versions of Kubernetes and KEDA were not checked: {error}")
        return
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"The cluster cannot be reached: {error}")
    pulumi.log.warn(f"No cluster was reached, so the versions of Kubernetes and KEDA were not checked: {error}")


def _run_kubectl(kubectl: str, cluster: Cluster, *arguments: str) -> _KubectlResult:
    command = [kubectl, *arguments, "--request-timeout=5s"]
    if cluster.kubeconfig:
        command.append(f"--kubeconfig={cluster.kubeconfig}")
    if cluster.context:
        command.append(f"--context={cluster.context}")
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _KubectlResult(error=f"kubectl had no answer within {TIMEOUT_SECONDS} s")
    if completed.returncode == 0:
        return _KubectlResult(completed.stdout)
    lines = completed.stderr.strip().splitlines()
    return _KubectlResult(error=lines[-1] if lines else f"kubectl ended with status {completed.returncode}")


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 a text of JSON, or a part of one
    """Return a mapping, and an empty one for anything else: what cannot be read is not checked."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _major_minor(version: str) -> tuple[int, int] | None:
    """Return major and minor: EKS reports `v1.35.2-eks-1a2b3c`. None where there are none, as in `main`."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def _format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
