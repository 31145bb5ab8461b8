"""Clusters of other makers, chosen by LOCAL_CLUSTER: one of kind's, or a context that the reader names.

A cluster that we did not make is never deleted, and a context is used only when it was named: the current one
may be production. Either way the stack gets a kubeconfig file with that one context in it, so that a later
`kubectl config use-context` moves nothing.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths
from common.private_files import write_private
from common.progress import Progress
from local.cluster.keda_manifests import apply, render, with_release_images
from local.services.server import ServerStatus

ANSWER_SECONDS = 10
CREATE_SECONDS = 600
ROLLOUT_SECONDS = 300
KEDA_DEPLOYMENTS = ("keda-operator", "keda-metrics-apiserver", "keda-admission")


@dataclass(frozen=True)
class ExternalTools:
    """`kubectl`; and for kind, KEDA's own manifests and the release whose images they are to run."""

    kubectl: Path
    keda_config: Path
    keda_version: str


@dataclass(frozen=True)
class ContextCluster:
    """The context `context` of the reader's own kubeconfig. Never created, never deleted."""

    context: str
    paths: Paths
    kubectl: Path

    runs_pods = True
    owned = False

    @property
    def kubeconfig(self) -> Path:
        """A private copy that holds this context alone."""
        return self.paths.state / f"kubeconfig-{_short_hash(self.context)}"

    def start(self, progress: Progress) -> None:
        """Copy the context, and see that its cluster answers and has KEDA."""
        with progress.step(f"context {self.context}"):
            self._copy()
            _require_answer(self.kubectl, self.kubeconfig, self.context)
            if not _has_keda(self.kubectl, self.kubeconfig, self.context):
                raise CommandError(_without_keda(self.context))

    def stop(self, progress: Progress, *, delete_data: bool = False) -> None:  # noqa: ARG002 -- the protocol's form
        """Forget the copy; the cluster is not ours."""
        self.kubeconfig.unlink(missing_ok=True)

    def status(self) -> tuple[ServerStatus, ...]:
        """Whether it was chosen and answers."""
        there = self.kubeconfig.exists() and not _silent(self.kubectl, self.kubeconfig, self.context)
        return (ServerStatus(f"context {self.context}", running=there, note="not ours: left as it is"),)

    def _copy(self) -> None:
        flags = ("--raw", "--minify", "--flatten", "--context", self.context)
        shown = _run([self.kubectl, "config", "view", *flags], seconds=ANSWER_SECONDS)
        if shown.returncode:
            raise CommandError(
                f"LOCAL_CLUSTER=context:{self.context} names a context that your kubeconfig does not have; "
                f"it has {', '.join(self._known()) or 'none'}. Correct the name, or set KUBECONFIG to the right file."
            )
        write_private(self.kubeconfig, shown.stdout)

    def _known(self) -> list[str]:
        return _run([self.kubectl, "config", "get-contexts", "-o", "name"], seconds=ANSWER_SECONDS).stdout.split()


@dataclass(frozen=True)
class KindCluster:
    """A kind cluster with KEDA in it. `name` None: one named after the checkout. Deleted only if we made it."""

    paths: Paths
    tools: ExternalTools
    given: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    runs_pods = True

    @property
    def owned(self) -> bool:
        """True from before this checkout begins to make it."""
        return self._made.exists()

    @property
    def name(self) -> str:
        """The cluster's name: two checkouts have two clusters."""
        return self.given or f"alphaswarm-{_short_hash(str(self.paths.checkout))}"

    @property
    def context(self) -> str:
        """What kind calls it."""
        return f"kind-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """A file of ours: the reader's own is left as it is."""
        return self.paths.state / f"kubeconfig-{_short_hash(self.context)}"

    def start(self, progress: Progress) -> None:
        """Create the cluster unless it is there, and install KEDA unless it has it."""
        kind = self._kind()
        if self.name in kind_clusters(kind):
            self._export(kind)
        else:
            self._create(kind, progress)
        _require_answer(self.tools.kubectl, self.kubeconfig, self.context)
        if not _has_keda(self.tools.kubectl, self.kubeconfig, self.context):
            with progress.step(f"KEDA {self.tools.keda_version} in {self.context}", usual="1 min"):
                self._install_keda()

    def stop(self, progress: Progress, *, delete_data: bool = False) -> None:  # noqa: ARG002 -- the protocol's form
        """Delete the cluster if it is ours."""
        if self.owned:
            with progress.step(f"deleting kind cluster {self.name}"):
                _checked([self._kind(), "delete", "cluster", "--name", self.name, "--kubeconfig", self.kubeconfig])
        self._made.unlink(missing_ok=True)
        self.kubeconfig.unlink(missing_ok=True)

    def status(self) -> tuple[ServerStatus, ...]:
        """Whether it answers, and whose it is."""
        there = self.kubeconfig.exists() and not _silent(self.tools.kubectl, self.kubeconfig, self.context)
        note = "made by this checkout" if self.owned else "not ours: left as it is"
        return (ServerStatus(f"kind cluster {self.name}", running=there, note=note),)

    @property
    def _made(self) -> Path:
        """Is there while the cluster is ours to delete; written before it is made, so an interruption leaks none."""
        return self.paths.run / f"kind-{self.name}.made"

    def _kind(self) -> Path:
        path = self.environment.get("PATH", "")
        missing = [name for name in ("docker", "kind") if shutil.which(name, path=path) is None]
        if missing:
            raise CommandError(
                f"LOCAL_CLUSTER=kind needs docker and kind on PATH; {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not there. "
                "Install what is missing, or leave LOCAL_CLUSTER out to use the embedded cluster."
            )
        return Path(str(shutil.which("kind", path=path)))

    def _create(self, kind: Path, progress: Progress) -> None:
        with progress.step(f"creating kind cluster {self.name}", usual="1 min"):
            write_private(self._made, self.name)
            flags = ("--name", self.name, "--kubeconfig", self.kubeconfig, "--wait", "120s")
            _checked([kind, "create", "cluster", *flags], seconds=CREATE_SECONDS)

    def _export(self, kind: Path) -> None:
        self.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _checked([kind, "export", "kubeconfig", "--name", self.name, "--kubeconfig", self.kubeconfig])

    def _install_keda(self) -> None:
        tools = self.tools
        manifests = with_release_images(render(tools.kubectl, tools.keda_config), tools.keda_version)
        apply(tools.kubectl, self.kubeconfig, self.context, manifests)
        for deployment in KEDA_DEPLOYMENTS:
            command = [*_kubectl(tools.kubectl, self.kubeconfig, self.context), "--namespace=keda", "rollout", "status"]
            _checked([*command, f"deployment/{deployment}", f"--timeout={ROLLOUT_SECONDS}s"], ROLLOUT_SECONDS + 10)


def kind_clusters(kind: Path) -> list[str]:
    """Return the names of kind's clusters; it says `No kind clusters found.` on the other channel."""
    return _checked([kind, "get", "clusters"]).split()


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _kubectl(kubectl: Path, kubeconfig: Path, context: str) -> list[str | Path]:
    return [kubectl, "--kubeconfig", kubeconfig, "--context", context, f"--request-timeout={ANSWER_SECONDS}s"]


def _silent(kubectl: Path, kubeconfig: Path, context: str) -> str:
    """Why the cluster does not answer; empty when it does."""
    asked = _run([*_kubectl(kubectl, kubeconfig, context), "get", "--raw", "/version"], seconds=3 * ANSWER_SECONDS)
    return (asked.stderr.strip().splitlines() or ["no reason given"])[-1] if asked.returncode else ""


def _require_answer(kubectl: Path, kubeconfig: Path, context: str) -> None:
    if reason := _silent(kubectl, kubeconfig, context):
        raise CommandError(
            f"The cluster of context {context} does not answer: {reason}. "
            "Start it or mend its credentials, or leave LOCAL_CLUSTER out to use the embedded cluster."
        )


def _has_keda(kubectl: Path, kubeconfig: Path, context: str) -> bool:
    command = [*_kubectl(kubectl, kubeconfig, context), "get", "crd", "scaledobjects.keda.sh", "-o", "name"]
    return _run(command, seconds=3 * ANSWER_SECONDS).returncode == 0


def _without_keda(context: str) -> str:
    return (
        f"The cluster of context {context} has no KEDA (no custom resource scaledobjects.keda.sh). "
        "It is not ours to change; install KEDA there yourself:\n"
        "  helm repo add kedacore https://kedacore.github.io/charts\n"
        f"  helm --kube-context {context} install keda kedacore/keda --namespace keda --create-namespace"
    )


def _checked(command: Sequence[str | Path], seconds: float = 120) -> str:
    done = _run(command, seconds)
    if done.returncode:
        words = " ".join(str(part) for part in command)
        raise CommandError(f"`{words}` failed: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def _run(command: Sequence[str | Path], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {seconds:.0f} s")
