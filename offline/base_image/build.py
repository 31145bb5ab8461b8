"""Builds the stand-in base image: Debian instead of Wolfi, where Wolfi cannot be pulled.

It replaces the stages `base` and `toolchain` of the Dockerfiles as named contexts of BuildKit, so the same
Dockerfiles build here as anywhere. Debian's packages are unpacked for both architectures without running their
scripts (11 s each [measured]; with maintainer scripts under emulation 205 s), and written as an OCI layout with one
multi-platform index for each stage. `toolchain` is `base` with elfutils, uv and this machine's certificate authorities,
which never reach an image: final stages are built from `base`.

The layout is in the tool cache, in a folder named by the hash of what it is made from, once for all checkouts.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from offline.base_image import oci, tree

SUITE = "trixie"
BASE_PYTHON = "3.13"  # of that release
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = (
    "base-files", "base-passwd", "dash", "coreutils", "libc-bin", "libgcc-s1", "libstdc++6", "libgomp1", "python3",
    "ca-certificates", "tini", "tzdata", "sed", "grep", "findutils", "tar",
)  # fmt: skip
TOOL_PACKAGES = (*PACKAGES, "elfutils")
UV_TAGS = {"amd64": "manylinux2014_x86_64", "arm64": "manylinux2014_aarch64"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
UNPACK_SECONDS = 300
LABELS = {
    "org.opencontainers.image.title": "alphaswarm stand-in base",
    "org.opencontainers.image.description": "Debian in the place of Wolfi; for local use only",
    "io.alphaswarm.base": "stand-in",
}
PATH_VALUE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class StandInBase:
    """Builds the layout; `requirements` is the file that pins uv with its hashes."""

    mmdebstrap: Path
    requirements: Path

    def ensure(self, progress: Progress) -> Mapping[str, str]:
        """Build the layout unless the cache has it, and return the named contexts: stage to layout."""
        folder = paths.cache() / "base" / self._input_hash()
        if not (folder / "index.json").exists():
            with progress.step("stand-in base image for two architectures", usual="1 min"):
                self._make(folder)
        return {stage: f"oci-layout://{folder}@{digest}" for stage, digest in oci.digests_by_name(folder).items()}

    def _make(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as scratch:
            layout = oci.Layout(Path(scratch) / "layout")
            bases, toolchains = [], []
            for architecture in UV_TAGS:
                base, debian = (
                    layout.write_layer(tree.entries(self._unpack(architecture, packages, Path(scratch))))
                    for packages in (PACKAGES, TOOL_PACKAGES)
                )
                tools = layout.write_layer(self._tools(architecture, Path(scratch)))
                config = _config({"SSL_CERT_FILE": f"/{_MACHINE_BUNDLE}"})
                bases.append(layout.write_image(architecture, [base], _config({})))
                toolchains.append(layout.write_image(architecture, [debian, tools], config))
            layout.write_names({"base": layout.write_index(bases), "toolchain": layout.write_index(toolchains)})
            shutil.rmtree(folder, ignore_errors=True)
            layout.folder.replace(folder)

    def _unpack(self, architecture: str, packages: Sequence[str], scratch: Path) -> Path:
        target = scratch / f"{architecture}.tar"
        options = scratch / "apt.conf"
        options.write_text("".join(f"{line}\n" for line in _apt_options(_output("apt-config", "dump"))))
        command: list[str | Path] = [
            self.mmdebstrap, "--quiet", "--mode=root", "--variant=extract", f"--architectures={architecture}",
            f"--include={','.join(packages)}", f"--aptopt={options}", f"--keyring={KEYRING}",
            SUITE, target, mirror(_output("apt-get", "indextargets", "--format", _TARGET)),
        ]  # fmt: skip
        _run(command, f"Debian {SUITE} could not be unpacked for {architecture}")
        return target

    def _tools(self, architecture: str, scratch: Path) -> Iterable[oci.Entry]:
        wheels = scratch / f"wheels-{architecture}"
        pinned = scratch / "uv.txt"
        pinned.write_text(_uv_pin(self.requirements.read_text()))
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
            f"--platform={UV_TAGS[architecture]}", f"--dest={wheels}", f"--requirement={pinned}",
        ]  # fmt: skip
        _run(command, f"uv for {architecture} could not be downloaded")
        with zipfile.ZipFile(next(wheels.glob("uv-*.whl"))) as wheel:
            program = next(name for name in wheel.namelist() if name.endswith(".data/scripts/uv"))
            yield oci.file_entry("usr/bin/uv", wheel.read(program), mode=0o755)
        yield oci.file_entry(_MACHINE_BUNDLE, _machine_authorities())

    def _input_hash(self) -> str:
        inputs = hashlib.sha256(_machine_authorities())
        for source in (Path(__file__), Path(oci.__file__), Path(tree.__file__)):
            inputs.update(source.read_bytes())
        inputs.update(_uv_pin(self.requirements.read_text()).encode())
        return inputs.hexdigest()[:16]


def native_architecture() -> str:
    """Return this machine's architecture as BuildKit calls it. Raises CommandError for others than the images'."""
    machine = platform.machine()
    if machine not in MACHINES:
        raise CommandError(
            f"This machine is of type {machine}; the images are built for {' and '.join(sorted(MACHINES))}. "
            "Build them on one of those, or promote the digests of another stack."
        )
    return MACHINES[machine]


def mirror(targets: str) -> str:
    """Find the mirror of Debian that apt on this machine uses.

    Args:
        targets: the output of `apt-get indextargets`, formatted as `_TARGET`.

    Raises:
        CommandError: there is none.
    """
    for line in targets.splitlines():
        address, label, component = line.split("\t")
        if (label, component) == ("Debian", "main"):
            return address
    raise CommandError(
        "The stand-in base is made of Debian's packages, and apt on this machine names no mirror of Debian. "
        "Add one to its sources, or use a machine that can pull Wolfi."
    )


_TARGET = "$(REPO_URI)\t$(LABEL)\t$(COMPONENT)"
_MACHINE_BUNDLE = "etc/ssl/machine-authorities.crt"
_APT_OPTION = re.compile(r"^Acquire::(https?::(Proxy|Verify|CAInfo)|Check-)")


def _apt_options(dump: str) -> Sequence[str]:
    return [line for line in dump.splitlines() if _APT_OPTION.match(line)]


def _uv_pin(requirements: str) -> str:
    found = re.search(r"^uv==.*?(?=^\S)", requirements + "\nend", re.MULTILINE | re.DOTALL)
    if found is None:
        raise CommandError("requirements-dev.txt does not pin uv. Run `make lock`, which writes it from the .in files.")
    lines = found[0].splitlines()
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _machine_authorities() -> bytes:
    """Read the certificates that this machine trusts: its network may have an authority of its own."""
    for file in (os.environ.get("SSL_CERT_FILE"), f"/{tree.BUNDLE}", "/etc/pki/tls/certs/ca-bundle.crt"):
        if file and Path(file).is_file():
            return Path(file).read_bytes()
    raise CommandError("No certificate bundle was found on this machine. Install the package ca-certificates.")


def _config(more: Mapping[str, str]) -> Mapping[str, object]:
    env = {"PATH": PATH_VALUE, "SSL_CERT_FILE": f"/{tree.BUNDLE}", **more}
    return {"Env": [f"{name}={value}" for name, value in sorted(env.items())], "Labels": LABELS, "User": "0"}


def _output(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _run(command: Sequence[str | Path], failure: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UNPACK_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{failure}: {command[0]} took longer than {UNPACK_SECONDS} s. Try again.") from error
    if done.returncode:
        end = tail(done.stderr + done.stdout, 8, indent="  ")
        raise CommandError(f"{failure}; {Path(command[0]).name} ended with status {done.returncode}:\n{end}")
