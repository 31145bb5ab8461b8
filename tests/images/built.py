"""Builds images with a real BuildKit and opens what came out, file by file."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from local.builder import Builder

BUILD_SECONDS = 1800


@dataclass(frozen=True)
class BuildClient:
    """Asks the builder for builds. `buildctl` is the command."""

    builder: Builder
    buildctl: Path

    def build(self, folder: Path, target: str, platform: str, out: Path) -> "BuiltImage":
        """Build the target of the folder's Dockerfile into the OCI layout `out`."""
        layouts: dict[str, tuple[str, str]] = {}
        for stage, location in self.builder.contexts.items():
            place, _, digest = location.removeprefix("oci-layout://").partition("@")
            layouts[stage] = (place, digest)
        options = {
            "target": target,
            "platform": platform,
            **{f"build-arg:{name}": value for name, value in self.builder.build_args.items()},
            **{f"context:{stage}": f"oci-layout://{stage}@{digest}" for stage, (_, digest) in layouts.items()},
        }
        self._run(
            folder,
            options,
            {stage: Path(place) for stage, (place, _) in layouts.items()},
            [f"--output=type=oci,tar=false,oci-mediatypes=true,dest={out}"],
        )
        return BuiltImage(out)

    def run_in(self, image: "BuiltImage", script: str, scratch: Path) -> str:
        """Run a shell script in the image, as its own user and without a network; returns what it printed."""
        scratch.mkdir()
        (scratch / "script.sh").write_text(script)
        (scratch / "Dockerfile").write_text(
            "FROM built\nRUN --network=none --mount=type=bind,target=/script --mount=type=tmpfs,target=/tmp "
            "sh -eu /script/script.sh\n"
        )
        return self._run(
            scratch, {"context:built": f"oci-layout://built@{image.digest}"}, {"built": image.folder}, ["--no-cache"]
        )

    def _run(self, folder: Path, options: Mapping[str, str], layouts: Mapping[str, Path], more: Sequence[str]) -> str:
        command = [
            str(self.buildctl), "--addr", self.builder.address, "build", "--progress=plain",
            "--frontend=dockerfile.v0", f"--local=context={folder}", f"--local=dockerfile={folder}",
            *(f"--opt={name}={value}" for name, value in options.items()),
            *(f"--oci-layout={name}={place}" for name, place in layouts.items()), *more,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stderr


@dataclass(frozen=True)
class BuiltImage:
    """One architecture's image in an OCI layout."""

    folder: Path

    @cached_property
    def digest(self) -> str:
        """The digest of its manifest."""
        (only,) = json.loads((self.folder / "index.json").read_text())["manifests"]
        return str(only["digest"])

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Its manifest."""
        return self._json(self.digest)

    @cached_property
    def image(self) -> dict[str, Any]:
        """Its configuration, with platform and history."""
        return self._json(self.manifest["config"]["digest"])

    @property
    def config(self) -> dict[str, Any]:
        """What a container gets from it."""
        config: dict[str, Any] = self.image["config"]
        return config

    @property
    def env(self) -> dict[str, str]:
        """Its environment."""
        return dict(entry.partition("=")[::2] for entry in self.config["Env"])

    @cached_property
    def files(self) -> dict[str, tarfile.TarInfo]:
        """Every file by its path, of the last layer that has it."""
        return {info.name: info for info, _ in self.contents()}

    def contents(self) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        """Every entry of every layer, with the layer to read it from."""
        for layer in self.manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self._blob(layer["digest"])))) as tar:
                for info in tar:
                    info.name = info.name.removeprefix("./").rstrip("/")
                    yield info, tar

    def _blob(self, digest: str) -> bytes:
        return (self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def _json(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._blob(digest))
        return found
