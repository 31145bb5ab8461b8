"""`python -m surfaces` writes what is generated; `python -m surfaces audit PATH` reads somebody's checkout.

The audit needs none of the program's packages, so neither command imports the other's.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Return the exit status: of the audit after the word `audit`, else of the generators."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["audit"]:
        from surfaces.audit.command import main as audit

        return audit(given[1:])
    from surfaces.generate import main as generate

    return generate(given, root)


if __name__ == "__main__":
    sys.exit(main())
