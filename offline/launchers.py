"""Installs the stand-ins where the engine looks for plugins: as launchers in a folder that is first on PATH.

A launcher is a shell script with the paths of a Python and of this checkout in it, so it runs from any folder and
breaks when either moves. `install` is cheap and runs on every `up`.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

from common.errors import CommandError

CHECKOUT = Path(__file__).resolve().parents[1]
LAUNCHERS = {
    "pulumi-language-python": "offline.language_host.server",
    "pulumi-resource-aws": "offline.providers.aws",
    "pulumi-resource-kubernetes": "offline.providers.kubernetes",
}
ALL = tuple(LAUNCHERS)


def install(bin_dir: Path, python: Path, which: Iterable[str] = ALL) -> tuple[Path, ...]:
    """Write launchers, and remove those of the other stand-ins.

    Args:
        bin_dir: the folder for them.
        python: the interpreter that runs the stand-ins.
        which: their names.

    Returns:
        The launchers written.

    Raises:
        CommandError: there is no stand-in of such a name, or no such interpreter.
    """
    wanted = tuple(which)
    if unknown := sorted(set(wanted) - set(LAUNCHERS)):
        raise CommandError(f"There is no stand-in for {', '.join(unknown)}; there are {', '.join(LAUNCHERS)}.")
    if not python.exists():
        raise CommandError(f"The stand-ins need a Python at {python}, and there is none. Run `make venv` first.")
    bin_dir.mkdir(parents=True, exist_ok=True)
    for name in LAUNCHERS:
        if name not in wanted:
            (bin_dir / name).unlink(missing_ok=True)
    return tuple(_write(bin_dir / name, python, LAUNCHERS[name]) for name in wanted)


def _write(launcher: Path, python: Path, module: str) -> Path:
    # The checkout goes last on sys.path: a program's own modules must win. -P keeps the caller's folder off it.
    code = f"import sys; sys.path.append({str(CHECKOUT)!r}); from {module} import main; main()"
    # gRPC writes about closed connections to standard error, which the engine would show as the program's words.
    text = f"""#!/bin/sh
# Written by offline/launchers.py: a stand-in, not Pulumi's release.
export GRPC_VERBOSITY="${{GRPC_VERBOSITY:-NONE}}"
exec {shlex.quote(str(python.absolute()))} -P -u -c {shlex.quote(code)} "$@"
"""
    partial = launcher.with_suffix(".partial")
    partial.write_text(text)
    partial.chmod(0o755)
    return partial.replace(launcher)
