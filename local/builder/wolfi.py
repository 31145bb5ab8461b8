"""Whether this machine can build on Wolfi: asked of BuildKit itself once a day.

BuildKit has its own ways to registries (mirrors, proxies, authorities), so only BuildKit can answer. The probe
pulls the base by its digest and asks the package repository for its index: an image without packages is no use.
"""

import hashlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.answer_cache import AnswerCache
from common.errors import CommandError
from common.progress import Progress
from local.builder.buildctl import Build

PATIENCE_SECONDS = 30
_BASE = re.compile(r"^ARG BASE=(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Wolfi:
    """The probe; `cache_file` holds its answer."""

    buildctl: Path
    address: str
    dockerfile: Path
    cache_file: Path

    def reachable(self, progress: Progress) -> bool:
        """Whether the base that the Dockerfile names can be pulled, and its packages be had."""
        base = base_of(self.dockerfile)

        def ask() -> bool:
            with progress.step("asking for the Wolfi base", usual="5 s"):
                return self._ask(base)

        return AnswerCache(self.cache_file).reachable(_short(base), ask)

    def _ask(self, base: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "Dockerfile").write_text(f"FROM {base}\nRUN apk update\n")
            command = Build(Path(folder)).command(self.buildctl, self.address)
            try:
                done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                return False
        return done.returncode == 0


def base_of(dockerfile: Path) -> str:
    """Return the base image that the Dockerfile pins. Raises CommandError when it pins none."""
    found = _BASE.search(dockerfile.read_text())
    if found is None:
        raise CommandError(f"{dockerfile} has no line `ARG BASE=...`; it must pin the base image by digest there.")
    return found[1]


def _short(base: str) -> str:
    return hashlib.sha256(base.encode()).hexdigest()[:16]
