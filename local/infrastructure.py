"""What stack `local` runs on: services, a cluster and a builder, and what the program is told of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from local.builder import Builder
from local.cluster import Cluster
from local.services.factory import Services


@dataclass(frozen=True)
class Infrastructure:
    """Started servers. `builder` is None where the stack is given its images."""

    services: Services
    cluster: Cluster
    builder: Builder | None

    @property
    def env(self) -> Mapping[str, str]:
        """What the engine's own processes need to find the builder."""
        return self.builder.env if self.builder else {}

    def overrides(self) -> dict[str, object]:
        """Return what this machine says over the stack's committed file."""
        redis, builder = self.services.redis, self.builder
        return {
            "fleet:aws": {"endpoint": self.services.aws.endpoint},
            "fleet:cluster": {
                "kubeconfig": str(self.cluster.kubeconfig),
                "context": self.cluster.context,
                "awaitReady": False,  # no node can pull from a registry on this machine's loopback yet
            },
            "fleet:registry": {"address": self.services.registry.endpoint},
            "fleet:broker": {} if self.cluster.runs_pods else {"scalerAddress": f"{redis.host}:{redis.port}"},
            **({"fleet:images": builder.overrides()} if builder else {}),
        }
