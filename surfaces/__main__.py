"""`python -m surfaces` writes what is generated, `… equal` compares it, `… audit PATH` reads somebody's checkout.

The audit needs none of the program's packages, and who compares nothing of who writes, so each imports its own alone.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Return the exit status of the command that the first word names; without one the generators'."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["audit"]:
        from surfaces.audit.command import main as audit

        return audit(given[1:])
    if given[:1] == ["equal"]:
        from surfaces.equal.command import main as equal

        return equal(given[1:], root)
    from surfaces.generate import main as generate

    return generate(given, root)


if __name__ == "__main__":
    sys.exit(main())
