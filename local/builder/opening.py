"""From a registry, or none, to a builder that can push to it, and from a later command to the one that was started."""

from pathlib import Path

from local.builder.buildkitd import TrustedRegistry
from local.builder.service import BuilderService, Programs
from local.paths import Paths
from local.progress import Progress
from local.services.registry import Registry
from local.toolchain import ensure

TOOLS = ("buildkitd", "buildctl", "runc", "mmdebstrap")
_UNUSED = Path("not-needed-to-stop")


def builder_to_start(paths: Paths, registry: Registry | None, progress: Progress) -> BuilderService:
    """The builder with its programs at hand, built or installed first if need be."""
    found = ensure(TOOLS, progress)
    return _service(paths, registry, Programs(*(found[name] for name in TOOLS)))


def started_builder(paths: Paths, registry: Registry) -> BuilderService:
    """The same builder, to be stopped or asked how it does."""
    return _service(paths, registry, Programs(*[_UNUSED] * len(TOOLS)))


def _service(paths: Paths, registry: Registry | None, programs: Programs) -> BuilderService:
    trusted = TrustedRegistry(registry.endpoint, registry.ca_file) if registry else None
    return BuilderService(programs, paths, trusted)
