"""Writes config/exchange_calendars.json: `python -m tools.calendars`; with `--check` it says whether that is stale.

Exit status: 0 written or fresh, 1 stale.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from common.paths import this_checkout
from tools.calendars.library import rows
from tools.calendars.rows import Row

FILE: Final = Path("config", "exchange_calendars.json")


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.calendars", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the file is stale")
    check: bool = parser.parse_args(arguments).check
    file, found = this_checkout().checkout / FILE, rows()
    text = text_of(found)
    if file.is_file() and file.read_text() == text:
        print(f"{FILE} is up to date: {len(found)} exchanges.")
        return 0
    if check:
        print(f"{FILE} is not what exchange_calendars says now. Write it with: make calendars", file=sys.stderr)
        return 1
    file.write_text(text)
    print(f"wrote {FILE}: {len(found)} exchanges")
    return 0


def text_of(calendars: dict[str, Row]) -> str:
    """Return the file's text: a line for each part of a row, so that a change is read as one."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_row(row)}" for name, row in calendars.items()) + "\n}\n"


def _row(row: Row) -> str:
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_part(row[key])}" for key in row) + "\n}"


def _part(value: object) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"    {json.dumps(key)}: {json.dumps(value[key])}" for key in value) + "\n  }"
    return json.dumps(value)


if __name__ == "__main__":
    sys.exit(main())
