"""Released Pulumi plugins: found where the engine would find them, and fetched where that is possible.

A fetch is tried once and given up after a minute in which nothing arrives; a machine that may not fetch would
otherwise wait at every `up`. The refusal is remembered for a day in the checkout's state. What stands in then
lives in offline/ and never counts as released.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from common import paths
from common.answer_cache import AnswerCache
from common.progress import Progress
from toolchain.search import on_path

PREFIX = "pulumi-resource-"
_SILENCE = 60.0


def released_plugin(name: str, version: str) -> Path | None:
    """Return the provider `name`: of this very version in $PULUMI_HOME/plugins, else whichever stands on PATH."""
    executable = f"{PREFIX}{name}"
    installed = _home() / "plugins" / f"resource-{name}-v{version}" / executable
    return installed if installed.exists() else on_path(executable)


def try_install_plugin(name: str, version: str, pulumi: Path, progress: Progress) -> Path | None:
    """Return the released provider, fetched by `pulumi` when it is not there; None where that is refused."""
    if (found := released_plugin(name, version)) is not None:
        return found
    answers = AnswerCache(paths.this_checkout().state / "plugin-downloads.json")
    wanted = f"{name}-{version}"
    if answers.get(wanted) is False:
        return None
    with progress.step(f"fetching the released provider {name} {version}", usual="1 min, given up after 1 min silence"):
        reason = _fetch(name, version, pulumi)
    found = released_plugin(name, version)
    if found is None:
        answers.put(wanted, reachable=False)
        progress.say(f"      {name} {version} cannot be fetched here ({reason}); tried again tomorrow")
    return found


def _fetch(name: str, version: str, pulumi: Path, silence: float = _SILENCE) -> str:
    """Run the install and return its last word; ended when neither output nor a downloaded byte comes for long."""
    with tempfile.TemporaryDirectory(prefix="plugin-") as scratch, tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [pulumi, "plugin", "install", "resource", name, version],
            env={**os.environ, "TMPDIR": scratch, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        watched = (Path(scratch), _home() / "plugins")
        size, moved = _size(watched), time.monotonic()
        try:
            while process.poll() is None:
                now = _size(watched) + os.fstat(out.fileno()).st_size
                if now != size:
                    size, moved = now, time.monotonic()
                elif time.monotonic() - moved > silence:
                    return f"nothing arrived for {silence:.0f} s"
                time.sleep(0.5)
        finally:
            _end(process)
        out.seek(0)
        return _reason(out.read()) or f"pulumi ended with {process.returncode}"


def _reason(output: str) -> str:
    """Return the last warning, which says what went wrong; the error after it only counts the attempts."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("warning:")] or lines
    return told[-1].removeprefix("warning: ") if told else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _size(folders: Iterable[Path]) -> int:
    total = 0
    for folder in folders:
        for file in folder.rglob("*"):
            try:
                total += file.lstat().st_size
            except FileNotFoundError:  # the download renames and removes its own files
                continue
    return total


def _home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path("~/.pulumi").expanduser())
