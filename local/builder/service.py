"""The builder of one checkout, and what a Pulumi program must be told to use it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.paths import Paths, this_checkout
from common.private_files import write_private
from common.progress import Progress
from config.schema import REPRODUCIBLE_BUILD_ARGS
from local.builder.buildkitd import BuildKit, TrustedRegistry
from local.builder.buildx import write_builder
from local.builder.torch_index import TorchIndex
from local.builder.wolfi import Wolfi
from local.services.server import ServerStatus
from offline.base_image.build import MACHINES, StandInBase, native_architecture

NAME = "alphaswarm"
STAND_IN_NAME = "stand-in.invalid/debian"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
GO_CERTIFICATE_FOLDERS = "/etc/ssl/certs:/etc/pki/tls/certs"  # where Go looks when nothing is said


@dataclass(frozen=True)
class Programs:
    """The commands that the builder needs."""

    buildkitd: Path
    buildctl: Path
    runc: Path
    mmdebstrap: Path


@dataclass(frozen=True)
class Builder:
    """A running builder. `contexts` are the named contexts that every build must pass; none on Wolfi.

    `platforms` are those it can build; the first is the machine's own. `env` goes to the engine and its plugins.
    `leave_out` is the Dockerfile's LEAVE_OUT, empty where every package can be had.
    """

    name: str
    address: str
    contexts: Mapping[str, str]
    platforms: tuple[str, ...]
    env: Mapping[str, str]
    leave_out: str = ""

    @property
    def on_stand_in_base(self) -> bool:
        """Whether the images are built on the stand-in base."""
        return bool(self.contexts)

    @property
    def build_args(self) -> Mapping[str, str]:
        """Of every build: fixed times, what is left out, and a base label that does not claim Wolfi falsely."""
        always = {**REPRODUCIBLE_BUILD_ARGS, "LEAVE_OUT": self.leave_out} if self.leave_out else REPRODUCIBLE_BUILD_ARGS
        if not self.on_stand_in_base:
            return always
        return {**always, "BASE": f"{STAND_IN_NAME}@{self.contexts['base'].rpartition('@')[2]}"}

    def overrides(self) -> dict[str, object]:
        """Return what this builder says over `fleet:images` of a stack that builds."""
        return {
            "builder": self.name,
            "platforms": list(self.platforms),
            "contexts": dict(self.contexts),
            "buildArgs": dict(self.build_args),
        }


@dataclass(frozen=True)
class BuilderService:
    """Starts the builder for images pushed to `registry`; None for a builder that pushes nothing.

    What it keeps lies under `paths`, and its layers in `shared` unless that is None; the Dockerfile that names the
    base, and uv's pin, under `source`. `lock` is the application's uv.lock, None where it lies in a git repository.
    """

    programs: Programs
    paths: Paths
    registry: TrustedRegistry | None
    lock: Path | None = None
    shared: Path | None = None
    source: Path = field(default_factory=lambda: this_checkout().checkout)

    def start(self, progress: Progress) -> Builder:
        """Start BuildKit unless it runs, find a base that can be had, and tell the provider of the builder."""
        with progress.step("BuildKit"):
            self._daemon.start()
            write_builder(self._buildx, NAME, self._daemon.address)
        contexts = {} if self._wolfi.reachable(progress) else self._stand_in(progress)
        platforms = _platforms(stands_in=bool(contexts))
        if len(platforms) < len(MACHINES):
            progress.say(
                f"  !!  images are built for {platforms[0]} only: the base of the other architecture must run "
                "here, and this machine has no emulator for it. Debian's qemu-user-static and binfmt-support bring one."
            )
        leave_out = self._torch_index.left_out(progress)
        return Builder(NAME, self._daemon.address, contexts, platforms, self._env(), leave_out)

    def stop(self) -> None:
        """End BuildKit; its layers stay."""
        self._daemon.stop()

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        return self._daemon.status()

    @property
    def _daemon(self) -> BuildKit:
        return BuildKit(self.programs.buildkitd, self.programs.runc, self.paths, self.registry, self.shared)

    @property
    def _buildx(self) -> Path:
        return self.paths.state / "config" / "buildx"

    @property
    def _wolfi(self) -> Wolfi:
        return Wolfi(
            self.programs.buildctl,
            self._daemon.address,
            self.source / "images" / "Dockerfile",
            self.paths.state / "state" / "wolfi.json",
        )

    @property
    def _torch_index(self) -> TorchIndex:
        return TorchIndex(self.lock, self.paths.state / "state" / "torch_index.json")

    def _stand_in(self, progress: Progress) -> Mapping[str, str]:
        progress.say(
            "  !!  Wolfi cannot be pulled here: the images are built on a STAND-IN BASE of Debian packages.\n"
            "      They are good for this machine's fleet and for tests, and must never be pushed elsewhere."
        )
        base = StandInBase(self.programs.mmdebstrap, self.source / "requirements-dev.txt")
        return base.ensure(progress)

    def _env(self) -> Mapping[str, str]:
        env = {"BUILDX_CONFIG": str(self._buildx)}
        if self.registry is None or self.registry.ca_file is None:
            return env
        trusted = write_private(
            self.paths.state / "config" / "trust" / "registry.crt", self.registry.ca_file.read_bytes()
        )
        folders = os.environ.get("SSL_CERT_DIR") or GO_CERTIFICATE_FOLDERS
        return {**env, "SSL_CERT_DIR": f"{trusted.parent}{os.pathsep}{folders}"}


def _platforms(*, stands_in: bool) -> tuple[str, ...]:
    """Return what can be built: nothing of the stand-in is run, while Wolfi's packages run to be installed."""
    native = native_architecture()
    others = [name for machine, name in MACHINES.items() if name != native and (stands_in or _emulated(machine))]
    return tuple(f"linux/{architecture}" for architecture in (native, *others))


def _emulated(machine: str) -> bool:
    return (BINFMT / f"qemu-{machine}").exists()
