"""The machine side of building images: BuildKit, and a stand-in base where Wolfi cannot be pulled."""

from local.builder.buildkitd import TrustedRegistry
from local.builder.service import Builder, BuilderService, Programs

__all__ = ["Builder", "BuilderService", "Programs", "TrustedRegistry"]
