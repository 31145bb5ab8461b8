"""A build as a `buildctl` command, for what builds images without the engine: probes, benches and tests.

A named context is a folder, or a layout written as the provider wants it, `oci-layout://FOLDER@DIGEST`. BuildKit wants
the two halves apart: the Dockerfile's frontend knows a layout by a name and the digest, and only the client knows where
the folder of that name is. Without the client's half BuildKit would look for the name in a registry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAYOUT = "oci-layout://"


@dataclass(frozen=True)
class Build:
    """What to build with the Dockerfile in `folder`, which is its context too."""

    folder: Path
    target: str | None = None  # the last stage
    platforms: tuple[str, ...] = ()  # the builder's own
    build_args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    indexed: bool = False  # an index, also where it would list one image only

    def command(self, buildctl: Path, address: str, *more: str) -> list[str]:
        """Return the command for the BuildKit at `address`; `more` says what becomes of the result."""
        return [
            str(buildctl), "--addr", address, "build", "--progress=plain", "--frontend=dockerfile.v0",
            f"--local=context={self.folder}", f"--local=dockerfile={self.folder}",
            *(f"--opt={option}" for option in self._options()),
            *(word for stage, location in self.contexts.items() for word in _named(stage, location)), *more,
        ]  # fmt: skip

    def _options(self) -> Iterator[str]:
        if self.target is not None:
            yield f"target={self.target}"
        if self.platforms:
            yield f"platform={','.join(self.platforms)}"
        if self.indexed:
            yield "multi-platform=true"
        for name, value in self.build_args.items():
            yield f"build-arg:{name}={value}"  # an empty one too: the Dockerfile may have a default


def in_folder(folder: Path, location: str) -> str:
    """Return a context's location, where it is a folder seen from `folder`."""
    return location if location.startswith(LAYOUT) else str(folder / location)


def _named(stage: str, location: str) -> tuple[str, str]:
    if not location.startswith(LAYOUT):
        return f"--opt=context:{stage}=local:{stage}", f"--local={stage}={location}"
    folder, _, digest = location.removeprefix(LAYOUT).rpartition("@")
    return f"--opt=context:{stage}={LAYOUT}{stage}@{digest}", f"--oci-layout={stage}={folder}"
