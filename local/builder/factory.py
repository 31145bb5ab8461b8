"""From a registry, or none, to a builder that can push to it, and from a later command to the one that was started."""

from pathlib import Path

from common.paths import Paths, cache, this_checkout
from common.progress import Progress
from config.application import REFERENCE_APPLICATION
from local.builder.buildkitd import TrustedRegistry
from local.builder.service import BuilderService, Programs
from local.services.registry import Registry
from local.tools import Tools, ensured

TOOLS = ("buildkitd", "buildctl", "runc", "mmdebstrap")
REFERENCE_LOCK = this_checkout().checkout / REFERENCE_APPLICATION / "uv.lock"
_UNUSED = Path("not-needed-to-stop")


def ensure_builder(
    paths: Paths,
    registry: Registry | None,
    progress: Progress,
    lock: Path | None = REFERENCE_LOCK,
    shared: Path | None = None,
    tools: Tools | None = None,
) -> BuilderService:
    """Return the builder with its programs at hand, built or installed first if need be.

    Args:
        paths: Where its socket, configuration and log lie.
        registry: Where it pushes to; None for a builder that pushes nothing.
        progress: Where a build of its programs is reported.
        lock: The uv.lock of the application it builds, None where that lies in a git repository.
        shared: The folder of layers that checkouts share; None keeps them under `paths`.
        tools: Gives its programs where they are had in the background already.
    """
    found = (tools or ensured(progress))(*TOOLS)
    return _service(paths, registry, Programs(*(found[name] for name in TOOLS)), lock, shared)


def find_builder(paths: Paths, registry: Registry) -> BuilderService:
    """Return the same builder, to be stopped or asked how it does."""
    return _service(paths, registry, Programs(*[_UNUSED] * len(TOOLS)))


def shared_layers() -> Path:
    """Return the folder of layers that this user's checkouts share."""
    return cache() / "buildkit"


def _service(
    paths: Paths,
    registry: Registry | None,
    programs: Programs,
    lock: Path | None = None,
    shared: Path | None = None,
) -> BuilderService:
    trusted = TrustedRegistry(registry.endpoint, registry.ca_file) if registry else None
    return BuilderService(programs, paths, trusted, lock, shared)
