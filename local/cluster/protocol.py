"""What the rest asks of a cluster, whichever it is: where it is reached, and whether pods run on it."""

from pathlib import Path
from typing import Protocol

from common.progress import Progress
from local.services.server import ServerStatus


class Cluster(Protocol):
    """A Kubernetes cluster with KEDA."""

    @property
    def kubeconfig(self) -> Path:
        """A file for this cluster alone; it is there once `start` returned."""

    @property
    def context(self) -> str:
        """The context's name in that file."""

    @property
    def runs_pods(self) -> bool:
        """False where there is no node: objects are admitted and scaled, pods stay Pending."""

    @property
    def owned(self) -> bool:
        """Whether `stop` ends the cluster itself, and with it every object in it."""

    def start(self, progress: Progress) -> None:
        """Bring it up as far as it is ours. Raises CommandError when it cannot be used."""

    def stop(self, progress: Progress, *, delete_data: bool = False) -> None:
        """End what `start` began and nothing else."""

    def status(self) -> tuple[ServerStatus, ...]:
        """How each part does."""
