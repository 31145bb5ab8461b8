"""A BuildKit with an empty cache, an empty registry, and a copy of the images' sources, all in a temporary folder.

The servers are ended and the folder is deleted when the block ends, by an exception too. Images are compressed and
pushed as the fleet pushes them, build cache included. The size of a push is what the registry's storage grew by.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.loopback import ANSWER_SECONDS, session
from common.paths import Paths, this_checkout
from common.progress import Progress
from common.tail import tail
from components.image_repository import CACHE_TAGS
from components.multi_arch_image import EXPORT
from local.builder import Builder
from local.builder.buildctl import Build
from local.builder.factory import ensure_builder
from local.ports import Ports
from local.services.registry import Registry
from queues import EXECUTOR, Image
from toolchain import ensure
from tools.bench.measure import LAST_LINES

LARGE = "/var/tmp"  # noqa: S108 unlike /tmp it is on a disk, and gigabytes are written
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHANGED = Path("reference_app") / "src" / "alphaswarm" / "tasks" / "celery_app.py"
OWN_LAYERS = 4  # an image's, above its base: /venv, /runtime, /app, and what is imported
# Seen once in some thirty pushes; whether it is an error of BuildKit or of the registry is not known.
REFUSED = "provided digest did not match uploaded content"


@dataclass(frozen=True)
class ImageBuild:
    """A stage of the root Dockerfile to build for one platform, with more extras than its own."""

    image: Image
    platform: str
    more_extras: tuple[str, ...] = ()
    whole: bool = False  # leave nothing out, not even what this machine usually goes without
    compression: str = "zstd"  # of its layers; BuildKit's names

    @property
    def architecture(self) -> str:
        return self.platform.rpartition("/")[2]

    def arguments(self, builder: Builder) -> dict[str, str]:
        """Return the build arguments."""
        found = {name: value for name, value in builder.build_args.items() if not (self.whole and name == "LEAVE_OUT")}
        return {**found, "MORE_EXTRAS": " ".join(self.more_extras)} if self.image is EXECUTOR else found


@dataclass(frozen=True)
class PushResult:
    """An image in the registry; `size` is compressed, as a node pulls it, and `base` the part of its base."""

    seconds: float
    size: int
    base: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class BuildEnvironment:
    """The servers, and the folder that they write to."""

    paths: Paths
    progress: Progress
    ports: Ports
    registry: Registry
    builder: Builder
    buildctl: Path

    @property
    def folder(self) -> Path:
        return self.paths.checkout

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def push(self, image_build: ImageBuild) -> PushResult:
        """Build and push an image. Raises CommandError with the end of BuildKit's output when it fails."""
        repository = f"{self.registry.endpoint}/{image_build.image.name}"
        cache = f"{repository}:{CACHE_TAGS}{image_build.architecture}"
        result = self.folder / "result.json"
        export = EXPORT.format(repository=repository).replace("type=registry", "type=image,push=true")
        if image_build.compression != "zstd":
            kind = f"compression={image_build.compression},force-compression=true"
            export = re.sub(r"compression=zstd(,compression-level=\d+)?", kind, export)
        began = time.monotonic()
        self._build(
            image_build,
            f"--output={export}",
            f"--import-cache=type=registry,ref={cache}",
            f"--export-cache=type=registry,ref={cache},mode=min,image-manifest=true,oci-mediatypes=true",
            f"--metadata-file={result}",
        )
        seconds = time.monotonic() - began
        manifest = self._get(
            f"{image_build.image.name}/manifests/{json.loads(result.read_text())['containerimage.digest']}"
        )
        blobs = [manifest["config"], *manifest["layers"]]
        config = self._get(f"{image_build.image.name}/blobs/{manifest['config']['digest']}")
        sizes = [int(blob["size"]) for blob in blobs]
        return PushResult(seconds, sum(sizes), sum(sizes[1:-OWN_LAYERS]), config["config"])

    def unpack(self, image_build: ImageBuild, folder: Path) -> None:
        """Unpack the image's files into the folder."""
        tar = self.folder / "files.tar"
        self._build(image_build, f"--output=type=tar,dest={tar}")
        folder.mkdir()
        subprocess.run(
            ["tar", "--extract", "--preserve-permissions", f"--file={tar}", f"--directory={folder}"], check=True
        )
        tar.unlink()

    def stored(self) -> int:
        """Return the size of all blobs in the registry, in bytes."""
        images = self.paths.state / "state" / "registry" / "images"
        return sum(file.stat().st_size for file in images.glob("docker/registry/v2/blobs/sha256/*/*/data"))

    def change_code(self, number: int) -> None:
        """Append a comment with this number to a file of the application."""
        file = self.images / CHANGED
        source = (this_checkout().checkout / "images" / CHANGED).read_text()
        file.write_text(f"{source}# change {number}\n")

    def _build(self, image_build: ImageBuild, *more: str) -> None:
        arguments = image_build.arguments(self.builder)
        build = Build(self.images, image_build.image.target, (image_build.platform,), arguments, self.builder.contexts)
        command = build.command(self.buildctl, self.builder.address, *more)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 and REFUSED in done.stderr:
            self.progress.say("  !!  the registry refused a layer; building once more, in the same measurement")
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = tail(done.stderr, LAST_LINES)
            raise CommandError(f"{image_build.image.target} could not be built for {image_build.platform}:\n{last}")

    def _get(self, path: str) -> dict[str, Any]:
        answer = session().get(f"{self.registry.url}/v2/{path}", headers={"Accept": MANIFEST}, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def temporary_environment(progress: Progress, gigabytes: int) -> Iterator[BuildEnvironment]:
    """Start the servers. Raises CommandError when this machine cannot build images, or has not enough disk space."""
    large = os.environ.get("TMPDIR", LARGE)
    _refuse_what_cannot_work(large, gigabytes)
    with tempfile.TemporaryDirectory(prefix="bench-images-", dir=large, ignore_cleanup_errors=True) as folder:
        paths = Paths(Path(folder))
        shutil.copytree(this_checkout().checkout / "images", paths.checkout / "images", symlinks=True)
        tools = ensure(["docker-registry", "buildctl"], progress)
        ports = Ports(paths.run / "ports.json")
        registry = Registry(tools["docker-registry"], paths, ports)
        service = ensure_builder(paths, registry, progress)
        try:
            registry.start(progress)
            yield BuildEnvironment(paths, progress, ports, registry, service.start(progress), tools["buildctl"])
        finally:
            progress.say("  ... ending the servers, deleting what was built")
            service.stop()
            registry.stop()


def _refuse_what_cannot_work(folder: str, gigabytes: int) -> None:
    if os.geteuid() != 0:
        raise CommandError("Building images needs root: BuildKit mounts file systems. Run it as root.")
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise CommandError(
            f"{folder} has {free:.0f} GB free, and this run writes up to {gigabytes} GB there (deleted at its end). "
            "Name another folder with TMPDIR, or measure the worker alone with --quick."
        )
