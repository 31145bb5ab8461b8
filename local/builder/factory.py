"""From a registry, or none, to a builder that can push to it, and from a later command to the one that was started."""

from pathlib import Path

from common.paths import Paths, this_checkout
from common.progress import Progress
from config.application import REFERENCE_APPLICATION
from local.builder.buildkitd import TrustedRegistry
from local.builder.service import BuilderService, Programs
from local.services.registry import Registry
from toolchain import ensure

TOOLS = ("buildkitd", "buildctl", "runc", "mmdebstrap")
REFERENCE_LOCK = this_checkout().checkout / REFERENCE_APPLICATION / "uv.lock"
_UNUSED = Path("not-needed-to-stop")


def builder_to_start(
    paths: Paths, registry: Registry | None, progress: Progress, lock: Path | None = REFERENCE_LOCK
) -> BuilderService:
    """The builder with its programs at hand, built or installed first if need be.

    `lock` is the uv.lock of the application it builds, None where that lies in a git repository.
    """
    found = ensure(TOOLS, progress)
    return _service(paths, registry, Programs(*(found[name] for name in TOOLS)), lock)


def started_builder(paths: Paths, registry: Registry) -> BuilderService:
    """The same builder, to be stopped or asked how it does."""
    return _service(paths, registry, Programs(*[_UNUSED] * len(TOOLS)))


def _service(paths: Paths, registry: Registry | None, programs: Programs, lock: Path | None = None) -> BuilderService:
    trusted = TrustedRegistry(registry.endpoint, registry.ca_file) if registry else None
    return BuilderService(programs, paths, trusted, lock)
