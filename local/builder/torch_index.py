"""Whether amd64's torch can be had: its build for CPUs lies on PyTorch's own index, which not every machine reaches.

The wheel itself is asked for, as the application's lock names it, since an index may answer where its files do not; an
application that takes no torch from there is not asked about. Without it the executor is built with everything else:
one task of the reference application needs torch. The answer is cached for a day, as Wolfi's is.
"""

import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from common.answer_cache import AnswerCache
from common.progress import Progress

ELSEWHERE = "amd64/torch"  # as the Dockerfile's LEAVE_OUT writes it
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class TorchIndex:
    """The probe. `lock` is the application's uv.lock, None where only the build sees it."""

    lock: Path | None
    cache_file: Path

    def left_out(self, progress: Progress) -> str:
        """Return what every build must leave out, as LEAVE_OUT, and say so aloud; empty where nothing must be."""
        wheel = wheel_elsewhere(self.lock) if self.lock else None
        if wheel is None or self._reachable(wheel, progress):
            return ""
        progress.say(
            f"  !!  {wheel.partition('/torch-')[0]} does not answer here: the executor for amd64 is built WITHOUT "
            "TORCH.\n      Its label io.alphaswarm.left-out says so, and the task `finetune` fails there; all others "
            "run."
        )
        return ELSEWHERE

    def _reachable(self, wheel: str, progress: Progress) -> bool:
        def ask() -> bool:
            with progress.step("asking for amd64's torch", usual="1 s"):
                return _answers(wheel)

        return AnswerCache(self.cache_file).reachable(wheel, ask)


def wheel_elsewhere(lock: Path) -> str | None:
    """Return the address of amd64's torch for CPUs; None where the lock has none, or there is no lock."""
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", ())
    except (OSError, ValueError):
        return None
    wheels = (
        str(wheel["url"])
        for package in packages
        if package["name"] == "torch" and package["version"].endswith("+cpu")
        for wheel in package.get("wheels", ())
        if "x86_64" in wheel["url"]
    )
    return next(wheels, None)


def _answers(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 an address of the lock, never a file's
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError):
        return False
