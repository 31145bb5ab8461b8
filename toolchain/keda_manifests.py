"""KEDA's own manifests (custom resources, roles, webhooks), read from its Go module without compiling anything.

KEDA's release page has them as one YAML file; the module's archive is checked against go.sum and is where Go modules
come from, so it serves machines that reach nothing else, and costs seconds.
"""

import json
import shutil
import subprocess
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.progress import Progress
from common.tail import tail
from toolchain import build, golang
from toolchain.catalogue import KEDA_ENGINE
from toolchain.folders import placed
from toolchain.running import Running

_MODULE = "github.com/kedacore/keda/v2"
_FOLDER = "config"
_LINES_SHOWN = 5


def keda_config(progress: Progress, modules: Path = build.MODULES) -> Path:
    """The folder `config` of KEDA's source, of the version that the tools have; downloaded when it is not there."""
    engine = KEDA_ENGINE
    folder = paths.cache() / "tools" / f"keda-config-{engine.version}-{build.fingerprint(engine, modules)}"
    if not folder.exists():
        running, module = Running(), modules / engine.module
        go = golang.provide(golang.choose(build.needed_go(module)), progress, running)
        with placed(folder, progress, running) as partial:
            if partial is not None:
                with progress.step(f"downloading KEDA's manifests {engine.version}", usual="5 s"):
                    _copy(_source(go, module), partial / _FOLDER)
    return folder / _FOLDER


def _source(go: Path, module: Path) -> Path:
    """Where Go unpacked the module; `go mod download` refuses an archive that go.sum does not list."""
    asked = [str(go), "mod", "download", "-json", _MODULE]
    answer = subprocess.run(asked, cwd=module, env=golang.environment(), capture_output=True, text=True, check=False)
    told: dict[str, str] = json.loads(answer.stdout or "{}")
    tree = Path(told.get("Dir", "/nonexistent")) / _FOLDER
    if answer.returncode != 0 or not tree.is_dir():
        said = told.get("Error") or tail(answer.stderr, _LINES_SHOWN) or f"it has no folder {_FOLDER}"
        raise CommandError(f"KEDA's manifests could not be read from the Go module {_MODULE}: {said}")
    return tree


def _copy(tree: Path, copy: Path) -> None:
    shutil.copytree(tree, copy, copy_function=shutil.copyfile)
    for made in (copy, *copy.rglob("*")):
        if made.is_dir():
            made.chmod(0o755)  # read-only in Go's module cache, and then nobody but root could delete the copy
