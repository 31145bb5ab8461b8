"""What must be there before anything is registered: KEDA, where it is to scale.

A cluster that cannot be reached stops an update, and is a warning in a preview, which needs none.
"""

import shutil
import subprocess

import pulumi

from config.schema import Cluster, Settings

KEDA_CRD = "scaledobjects.keda.sh"
KEDA_VERSION = "2.21.0"  # what the tests of this repository run
TIMEOUT_SECONDS = 10
HOW_TO_INSTALL = (
    "Install it once per cluster:\n"
    "  helm repo add kedacore https://kedacore.github.io/charts\n"
    f"  helm install keda kedacore/keda --namespace keda --create-namespace --version {KEDA_VERSION}\n"
    "or set fleet:layout to per-image, which scales by processor time and needs metrics-server instead."
)


def require_keda(settings: Settings) -> None:
    """Look for KEDA's resource definition in the stack's cluster, if the stack's layout needs it.

    Raises pulumi.RunError when the cluster has no KEDA, and when an update cannot reach the cluster.
    """
    if settings.layout != "per-queue":
        return
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pulumi.log.warn("kubectl is not on PATH, so whether KEDA is installed was not checked.")
        return
    answer = _ask(kubectl, settings.cluster)
    if answer is None:
        return
    if "NotFound" in answer:
        raise pulumi.RunError(f"The cluster has no KEDA, which scales the per-queue layout. {HOW_TO_INSTALL}")
    if "Forbidden" in answer:
        pulumi.log.warn(f"Whether KEDA is installed was not checked: {answer}")
        return
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"The cluster cannot be reached: {answer}")
    pulumi.log.warn(f"No cluster was reached, so whether KEDA is installed was not checked: {answer}")


def _ask(kubectl: str, cluster: Cluster) -> str | None:
    """None when the definition is there, else what kubectl says, on one line."""
    command = [kubectl, "get", "customresourcedefinition", KEDA_CRD, "--output=name", "--request-timeout=5s"]
    if cluster.kubeconfig:
        command.append(f"--kubeconfig={cluster.kubeconfig}")
    if cluster.context:
        command.append(f"--context={cluster.context}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"kubectl had no answer within {TIMEOUT_SECONDS} s"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else lines[-1] if lines else f"kubectl ended with status {done.returncode}"
