"""The servers that stack `local` needs beside a cluster: AWS, an image registry, and Redis."""

from dataclasses import dataclass
from pathlib import Path

from common.paths import Paths
from common.progress import Progress
from local.ports import Ports
from local.services.aws import Aws
from local.services.redis import Redis
from local.services.registry import Registry, RegistryTls
from local.services.server import ServerStatus
from local.tools import Tools, ensured

TOOLS = ("redis-server", "docker-registry")
_UNUSED = Path("not-needed-to-stop")


@dataclass(frozen=True)
class Services:
    """All three, of one checkout."""

    aws: Aws
    registry: Registry
    redis: Redis

    def start(self, progress: Progress) -> None:
        """Start those that do not run."""
        self.aws.start(progress)
        self.registry.start(progress)
        self.redis.start(progress)

    def stop(self) -> None:
        """End all of them."""
        self.redis.stop()
        self.registry.stop()
        self.aws.stop()

    def status(self) -> tuple[ServerStatus, ...]:
        """How each does."""
        return self.aws.status(), self.registry.status(), self.redis.status()


def ensure_services(paths: Paths, ports: Ports, progress: Progress, tools: Tools | None = None) -> Services:
    """Return the services with their programs at hand, installed first if need be."""
    found = (tools or ensured(progress))(*TOOLS)
    return _services(paths, ports, found["redis-server"], found["docker-registry"])


def find_services(paths: Paths, ports: Ports) -> Services:
    """Return the same services, to be stopped or asked how they do."""
    return _services(paths, ports, _UNUSED, _UNUSED)


def _services(paths: Paths, ports: Ports, redis: Path, registry: Path) -> Services:
    return Services(Aws(paths, ports), Registry(registry, paths, ports, RegistryTls()), Redis(redis, paths, ports))
