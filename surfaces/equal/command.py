"""Prints what the surfaces say, and where they differ."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from surfaces.equal.compare import differences, most, read
from surfaces.equal.model import FIELDS, Reading, format_value


def main(arguments: Sequence[str], root: Path) -> int:
    """Return the exit status: 1 where surfaces differ, 2 where one is missing or cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m surfaces equal",
        description="Compare what every surface says of each queue, read back from the files. "
        "Exit status: 0 all are equal, 1 some differ, 2 one is missing or cannot be read.",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--quiet", action="store_true", help="no tables")
    options = parser.parse_args(arguments)
    return run(root, as_json=options.json, quiet=options.quiet)


def run(root: Path, *, as_json: bool = False, quiet: bool = False) -> int:
    """Print both tables and each difference, and return the exit status: 1 if there is one, 2 if one is unreadable."""
    readings, errors = read(root)
    found = differences(readings)
    if as_json:
        sys.stdout.write(_json(readings, found, errors))
    else:
        if not quiet:
            sys.stdout.write(f"{_queues(readings)}\n{_surfaces(readings, found)}\n")
        sys.stdout.write(_verdict(readings, [*errors, *found]))
    return 2 if errors else int(bool(found))


def _json(readings: Sequence[Reading], found: Sequence[str], errors: Sequence[str]) -> str:
    surfaces = {
        reading.surface.name: {queue: dict(one.said()) for queue, one in reading.assignments.items()}
        for reading in readings
    }
    return json.dumps({"surfaces": surfaces, "differences": found, "unreadable": errors}, indent=2) + "\n"


def _queues(readings: Sequence[Reading]) -> str:
    rows = [("QUEUE", *FIELDS, "SURFACES")]
    for queue in _names(readings):
        count = sum(queue in reading.assignments for reading in readings)
        rows.append((queue, *(format_value(most(readings, queue, field)) for field in FIELDS), str(count)))
    return _table(rows)


def _surfaces(readings: Sequence[Reading], found: Sequence[str]) -> str:
    rows = [("SURFACE", "QUEUES", "SAYS", "")]
    for reading in readings:
        name = reading.surface.name
        said = dict.fromkeys(field for one in reading.assignments.values() for field, _ in one.said())
        differs = any(line.startswith(f"{name}: ") for line in found)
        rows.append((name, str(len(reading.assignments)), ", ".join(said), "DIFFERS" if differs else "equal"))
    return _table(rows)


def _verdict(readings: Sequence[Reading], lines: Sequence[str]) -> str:
    if lines:
        return "".join(f"{line}\n" for line in lines)
    return f"All {len(readings)} surfaces say the same of {len(_names(readings))} queues.\n"


def _names(readings: Sequence[Reading]) -> list[str]:
    return list(dict.fromkeys(queue for reading in readings for queue in reading.assignments))


def _table(rows: Iterable[Sequence[str]]) -> str:
    cells = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in cells
    )
