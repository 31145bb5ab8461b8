"""Builds images with a real BuildKit, and reads the result file by file.

Layers are exported as plain tars: compressing them would take minutes, and no test depends on it. Each is read once,
for the offsets of its files.
"""

import json
import mmap
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from local.builder.buildctl import Build
from tests.images.build_environment import BuildEnvironment

BUILD_SECONDS = 3600
LABELS = {  # build arguments that a stack passes; they end in labels, and change no layer
    "SOURCE": "https://git.example.com/research/fleet",
    "REVISION": "0123456789abcdef0123456789abcdef01234567",
    "VERSION": "1.2.3",
}
PLAIN = "type=oci,tar=false,oci-mediatypes=true,compression=uncompressed,force-compression=true"


@dataclass(frozen=True)
class ImageBuild:
    """A target of the Dockerfile in `folder` to build for platforms."""

    folder: Path
    target: str
    platforms: tuple[str, ...]
    build_args: Mapping[str, str] = field(default_factory=lambda: LABELS)
    application: Path | None = None
    netrc: Path | None = None


def build(environment: BuildEnvironment, image_build: ImageBuild, out: Path) -> dict[str, "BuiltImage"]:
    """Build into the OCI layout `out`, and return the images by platform. Fails with the end of the log."""
    command = _command(environment, image_build, out)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
    assert done.returncode == 0, f"{image_build.target} was not built:\n{done.stderr[-6000:]}"
    (index,) = json.loads((out / "index.json").read_text())["manifests"]
    manifests = json.loads(_blob(out, index["digest"]).read_text())["manifests"]
    found = {f"{one['platform']['os']}/{one['platform']['architecture']}": one["digest"] for one in manifests}
    assert found.keys() == set(image_build.platforms), f"{image_build.target} was built for {sorted(found)}"
    return {platform: BuiltImage(out, digest) for platform, digest in found.items()}


def _command(environment: BuildEnvironment, image_build: ImageBuild, out: Path) -> Sequence[str]:
    builder = environment.builder
    application = {"application": str(image_build.application)} if image_build.application else {}
    wanted = Build(
        image_build.folder,
        image_build.target,
        image_build.platforms,
        {**image_build.build_args, **builder.build_args},
        {**builder.contexts, **application},
        indexed=True,
    )
    secrets = [f"--secret=id=netrc,src={image_build.netrc}"] if image_build.netrc else []
    return wanted.command(environment.buildctl, builder.address, *secrets, f"--output={PLAIN},dest={out}")


@dataclass(frozen=True)
class Entry:
    """A file of an image, and its layer."""

    info: tarfile.TarInfo
    layer: Path

    def head(self, size: int = -1) -> bytes:
        """Read the first bytes; all by default."""
        with self.layer.open("rb") as tar:
            tar.seek(self.info.offset_data)
            return tar.read(self.info.size if size < 0 else min(size, self.info.size))


@dataclass(frozen=True)
class BuiltImage:
    """One architecture's image in an OCI layout."""

    layout: Path
    digest: str

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Its manifest."""
        found: dict[str, Any] = json.loads(_blob(self.layout, self.digest).read_text())
        return found

    @cached_property
    def image(self) -> dict[str, Any]:
        """Its configuration, with platform and history."""
        found: dict[str, Any] = json.loads(_blob(self.layout, self.manifest["config"]["digest"]).read_text())
        return found

    @property
    def config(self) -> dict[str, Any]:
        """What a container gets from it."""
        config: dict[str, Any] = self.image["config"]
        return config

    @property
    def env(self) -> dict[str, str]:
        """Its environment."""
        return dict(entry.partition("=")[::2] for entry in self.config["Env"])

    @property
    def layers(self) -> list[Path]:
        """Its layers, plain tars, the base's first."""
        return [_blob(self.layout, layer["digest"]) for layer in self.manifest["layers"]]

    @property
    def blobs(self) -> list[Path]:
        """Everything that a push of it would upload."""
        return [_blob(self.layout, self.digest), _blob(self.layout, self.manifest["config"]["digest"]), *self.layers]

    @cached_property
    def entries(self) -> list[Entry]:
        """Every file of every layer, also one that a later layer replaces."""
        return [entry for layer in self.layers for entry in _entries(layer)]

    @cached_property
    def files(self) -> dict[str, Entry]:
        """Every file that a container sees, by its path without the first slash."""
        return {entry.info.name: entry for entry in self.entries}

    def blobs_with(self, pattern: bytes) -> list[str]:
        """Return the names of the blobs that contain the pattern."""
        return [blob.name for blob in self.blobs if _contains(blob, pattern)]


def _entries(layer: Path) -> Iterator[Entry]:
    with tarfile.open(layer, "r:") as tar:
        for info in tar:
            info.name = info.name.removeprefix("./").rstrip("/")
            yield Entry(info, layer)


def _contains(file: Path, pattern: bytes) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return re.search(pattern, text) is not None


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
