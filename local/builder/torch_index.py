"""Whether amd64's torch can be had: its build for CPUs lies on PyTorch's own index, which not every machine reaches.

The wheel itself is asked for, as the lock names it, since an index may answer where its files do not. Without it the
executor is built with everything else: one task of the reference application needs torch. The answer is remembered
for a day, as Wolfi's is.
"""

import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from local.builder.remembered import Remembered
from local.errors import LocalError
from local.progress import Progress

ELSEWHERE = "amd64/torch"  # as the Dockerfile's LEAVE_OUT writes it
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class TorchIndex:
    """The probe. `lock` is the application's uv.lock, and `memory` the file that keeps the answer."""

    lock: Path
    memory: Path

    def left_out(self, progress: Progress) -> str:
        """What every build must leave out, as LEAVE_OUT; empty where the wheel can be had. Says so aloud."""
        wheel = wheel_elsewhere(self.lock)
        if self._reachable(wheel, progress):
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

        return Remembered(self.memory).reachable(wheel, ask)


def wheel_elsewhere(lock: Path) -> str:
    """The address of amd64's torch for CPUs. Raises LocalError when the lock has none."""
    packages = tomllib.loads(lock.read_text())["package"]
    wheels = [
        str(wheel["url"])
        for package in packages
        if package["name"] == "torch" and package["version"].endswith("+cpu")
        for wheel in package.get("wheels", ())
        if "x86_64" in wheel["url"]
    ]
    if not wheels:
        raise LocalError(f"{lock} has no torch for amd64 from PyTorch's own index; lock the application again.")
    return wheels[0]


def _answers(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 an address of the lock, never a file's
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError):
        return False
