"""Builds the commands of one engine from its pinned Go module into the shared cache.

The folder's name holds a hash of everything that decides the result: go.mod, go.sum, stub modules, flags, platform
and Go version, but no path, so every checkout of the same pins finds the same folder. GOFLAGS of the machine is
respected and not part of the hash: it says how to build here, not what. `-mod=readonly` refuses to build anything
that go.sum does not list.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import paths
from common.errors import CommandError
from common.progress import Progress
from toolchain import golang, space
from toolchain.catalogue import Engine
from toolchain.folders import placed
from toolchain.running import Running

MODULES = Path(__file__).with_name("modules")
_FLAGS = ("-mod=readonly", "-trimpath")
# `-s -w` only keeps the linker from writing symbols and DWARF; the compiler makes DWARF unless told not to.
# Processor time of a cold build of BuildKit 0.31 [measured]: 332 s with `-s -w` alone, 250 s with both of these.
_NO_DWARF, _NO_INLINING = "-dwarf=false", "-l"
_LOG_LINES_SHOWN = 12


def folder(engine: Engine, modules: Path = MODULES) -> Path:
    """Where the engine's binaries lie, or will once it is built."""
    return paths.cache() / "tools" / f"{engine.name}-{engine.version}-{fingerprint(engine, modules)}"


def find(engine: Engine, command: str, modules: Path = MODULES) -> Path | None:
    """Return the built command, or None."""
    built = folder(engine, modules) / "bin" / command
    return built if built.exists() else None


def fingerprint(engine: Engine, modules: Path = MODULES) -> str:
    """16 hex digits that change when, and only when, the binaries would."""
    module = modules / engine.module
    facts = {
        "files": {
            str(file.relative_to(module)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(module.rglob("*"))
            if file.name in {"go.mod", "go.sum"} or file.suffix == ".go"
        },
        "build": _arguments(engine),
        "commands": dict(engine.commands),
        "platform": golang.platform_name(),
        "go": golang.choose(needed_go(module)).version,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def build(engine: Engine, progress: Progress, running: Running, *, count: str = "", modules: Path = MODULES) -> Path:
    """Build what is not built yet and return the engine's folder. `count` reads like "2 of 6"."""
    module, target = modules / engine.module, folder(engine, modules)
    if target.exists():
        return target
    go = golang.provide(golang.choose(needed_go(module)), progress, running)
    with placed(target, progress, running) as partial:
        if partial is not None:
            label = f"downloading and building {engine.name} {engine.version}" + (f" ({count})" if count else "")
            with progress.step(label, usual=f"{engine.usual} the first time"):
                _compile(engine, module, partial, go, running)
    return target


def fetch(engine: Engine, progress: Progress, running: Running, modules: Path = MODULES) -> None:
    """Download the modules that a later `build` compiles; what goes wrong here, that build says."""
    module = modules / engine.module
    if folder(engine, modules).exists():
        return
    go = golang.provide(golang.choose(needed_go(module)), progress, running)
    with tempfile.TemporaryFile() as unread:
        running.run([go, "mod", "download"], cwd=module, env=golang.environment(), out=unread)


def needed_go(module: Path) -> str:
    """Return the Go version that the module's go.mod asks for."""
    match = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise CommandError(f"{module / 'go.mod'} names no Go version. Restore it from the repository.")
    return match[1]


def _arguments(engine: Engine) -> list[str]:
    """Return the same for as many engines as possible: packages that two of them share are then compiled once."""
    compiler = _NO_DWARF if engine.inlined else f"{_NO_INLINING} {_NO_DWARF}"
    linker = " ".join(("-s", "-w", *engine.link))
    return [*_FLAGS, f"-gcflags=all={compiler}", "-ldflags", linker, *engine.commands.values()]


def _compile(engine: Engine, module: Path, partial: Path, go: Path, running: Running) -> None:
    out, scratch = partial / "out", partial / "scratch"
    for made in (out, scratch, partial / "bin"):
        made.mkdir()
    env = golang.environment() | {"GOTMPDIR": str(scratch)}  # linking needs room that a /tmp in memory may lack
    log = paths.this_checkout().logs / f"build-{engine.name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("wb") as written:
        status = running.run([go, "build", "-o", f"{out}/", *_arguments(engine)], cwd=module, env=env, out=written)
    if status != 0:
        raise _failure(engine, status, log)
    for command, package in engine.commands.items():
        (out / _executable(package)).rename(partial / "bin" / command)
    shutil.rmtree(out)
    shutil.rmtree(scratch)


def _executable(package: str) -> str:
    """Return the name Go gives it: the last part of the import path that is not a major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _failure(engine: Engine, status: int, log: Path) -> CommandError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if not line.startswith("go: downloading")]
    last = "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:])
    return CommandError(
        f"{engine.name} {engine.version} could not be built; go build ended with {status}:\n{last}\n"
        f"All of it: {log}. Nothing is lost: run the same again and it goes on where it stopped. "
        f"Or put {', '.join(engine.commands)} on PATH."
    )


def go_for(engines: Sequence[Engine]) -> golang.Go:
    """Return the Go that builds all of `engines`, which must not be empty."""
    needed = (needed_go(MODULES / engine.module) for engine in engines)
    return golang.choose(max(needed, key=lambda version: [int(number) for number in version.split(".")]))


def check_space(engines: Sequence[Engine], progress: Progress, running: Running) -> None:
    """Refuse before the first download when the disk cannot hold the builds."""
    if not engines:
        return
    go = golang.provide(go_for(engines), progress, running)
    places = (paths.cache(), *golang.folders_used(golang.environment(), go))
    space.check(places, sum(engine.disk for engine in engines))
