"""What every command of `python -m local` works on: this checkout's folders and ports, and how it reports."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.paths import Paths
from common.progress import Progress
from local.builder.factory import find_builder
from local.cluster import find_cluster
from local.ports import Ports
from local.services.factory import find_services
from local.services.server import ServerStatus
from local.stack import stack_file

STACK = "local"


@dataclass(frozen=True)
class Workspace:
    """One checkout."""

    paths: Paths
    progress: Progress

    @cached_property
    def ports(self) -> Ports:
        """The ports of its servers."""
        return Ports(self.paths.run / "ports.json")

    @property
    def stack_file(self) -> Path:
        """The committed file of stack `local`."""
        return stack_file(self.paths.checkout, STACK)

    def servers(self, *, builder: bool = True) -> tuple[ServerStatus, ...]:
        """How each server does; without the `builder` for a stack that builds no images."""
        services, cluster = find_services(self.paths, self.ports), find_cluster(self.paths, self.ports)
        built = (find_builder(self.paths, services.registry).status(),) if builder else ()
        return *services.status(), *built, *cluster.status()
