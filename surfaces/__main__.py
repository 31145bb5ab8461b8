"""`python -m surfaces` writes every generated file; with `--check` it changes nothing and says what is stale.

`python -m surfaces equal` compares what the committed files say of each queue.
"""

import argparse
import sys
from pathlib import Path

from config.errors import SettingsError
from surfaces.equal import command
from surfaces.errors import SurfaceError
from surfaces.files import differences, generated_files, write

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Return the exit status: 1 when there is a difference or what a person wrote cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m surfaces", description="Write every file that is generated from queues.py and the models."
    )
    parser.add_argument("--check", action="store_true", help="only say what is stale; exit 1 if anything is")
    commands = parser.add_subparsers(dest="command", metavar="command")
    summary = "compare what every surface says of each queue, read back from the files"
    command.add_arguments(commands.add_parser("equal", help=summary, description=f"{summary.capitalize()}."))
    options = parser.parse_args(arguments)
    if options.command == "equal":
        return command.run(root, as_json=options.json, quiet=options.quiet)
    return _generate(root, check=options.check)


def _generate(root: Path, *, check: bool) -> int:
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


if __name__ == "__main__":
    sys.exit(main())
