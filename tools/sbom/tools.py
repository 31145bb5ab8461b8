"""Runs syft and oras.

syft lists the packages in an image's layers. It runs nothing of the image, so any architecture will do. oras reads
manifests and attaches files to images. Both take the login to a registry from Docker's configuration, and trust the
same certificate.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from toolchain import ensure

SETTINGS = Path(__file__).with_name("syft.yaml")
NAMES = ("oras", "syft")
_LINES_SHOWN = 5


@dataclass(frozen=True)
class Tools:
    """Both programs; `ca_file` is for a registry that this machine does not trust."""

    oras: Path
    syft: Path
    ca_file: Path | None = None

    def ask_oras(self, *command: str, at: str, more: Sequence[str] = (), cwd: Path | None = None) -> bytes:
        """Run an oras command on the reference `at`, and return its output."""
        trust = ("--ca-file", str(self.ca_file)) if self.ca_file else ()
        return _run([self.oras, *command, *trust, at, *more], at, _environment(), cwd)

    def scan(self, reference: str, name: str, scratch: Path) -> tuple[Path, Path]:
        """Scan one architecture's image.

        Args:
            reference: the image.
            name: its name in the document.
            scratch: a folder with room for some gigabytes.

        Returns:
            The files of the CycloneDX document and of syft's own report.
        """
        document, report = scratch / "document.json", scratch / "report.json"
        command: list[str | Path] = [
            self.syft, "scan", f"registry:{reference}", "--quiet", "--config", SETTINGS,
            "--source-name", name, "--output", f"cyclonedx-json@1.6={document}", "--output", f"syft-json={report}",
        ]  # fmt: skip
        trust = {"SYFT_REGISTRY_CA_CERT": str(self.ca_file)} if self.ca_file else {}
        _run(command, reference, _environment({"TMPDIR": str(scratch), **trust}), None)
        return document, report


def tools(ca_file: Path | None, progress: Progress) -> Tools:
    """Find both programs, or build them."""
    found = ensure(NAMES, progress)
    return Tools(found["oras"], found["syft"], ca_file)


def _environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process' environment without settings of syft that change the document; no proxy for loopback."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SYFT_") or name.startswith("SYFT_REGISTRY_")
    }
    past_proxies = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "localhost,127.0.0.1")))
    return {**kept, "NO_PROXY": past_proxies, "no_proxy": past_proxies, **(more or {})}


def _run(command: Sequence[str | Path], reference: str, env: Mapping[str, str], cwd: Path | None) -> bytes:
    done = subprocess.run(command, env=dict(env), cwd=cwd, capture_output=True, check=False)
    if done.returncode:
        last = tail((done.stderr or done.stdout).decode(errors="replace"), _LINES_SHOWN, indent="  ")
        raise CommandError(
            f"{reference}: {Path(command[0]).name} {command[1]} failed:\n{last}\n"
            "Is the image there, is the registry reached from here, and is this machine logged in to it?"
        )
    return done.stdout
