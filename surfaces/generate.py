"""`python -m surfaces` writes every generated file; with `--check` it changes nothing and says what is stale."""

import argparse
import sys
from pathlib import Path

from config.errors import SettingsError
from surfaces.errors import SurfaceError
from surfaces.files import differences, generated_files, write

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Return the exit status: 1 when `--check` finds a difference or what a person wrote cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m surfaces",
        description=__doc__,
        epilog="Others: `python -m surfaces equal`, `python -m surfaces audit PATH`.",
    )
    parser.add_argument("--check", action="store_true", help="only say what is stale; exit 1 if anything is")
    check: bool = parser.parse_args(arguments).check
    try:
        expected = generated_files(root)
    except (SettingsError, SurfaceError) as error:
        print(error, file=sys.stderr)
        return 1
    differing = differences(root, expected)
    if not differing:
        print(f"All {len(expected)} generated files are up to date.")
        return 0
    if check:
        print(*differing, sep="\n", file=sys.stderr)
        print(
            f"{len(differing)} of {len(expected)} generated files differ. Write them with: make surfaces",
            file=sys.stderr,
        )
        return 1
    write(root, differing)
    for difference in differing:
        print(f"{'removed' if difference.expected is None else 'wrote'} {difference.path}")
    return 0
