"""`python -m surfaces audit PATH`: the command line."""

import argparse
import sys
from pathlib import Path

from surfaces.audit import silence
from surfaces.audit.gather import facts
from surfaces.audit.model import Finding, Severity
from surfaces.audit.report import FORMATS, Report, columns
from surfaces.audit.rules import RULES
from surfaces.audit.rules.context import Context
from surfaces.audit.walk import CheckoutError, checkout

CLEAN, FOUND, UNREADABLE = 0, 1, 2

_EPILOG = """
exit status:
  0  clean: nothing was found, or nothing as bad as --severity
  1  findings, whatever else happened
  2  PATH is no folder that can be read, the report cannot be written, or nothing was found but a file that
     matters could not be read, so that it may hold what was not found

A finding is silenced by a comment `audit: ignore[RULE] REASON` on its line or the line above, or by an entry of
.queue-audit.yaml in PATH. A silence without a reason is an error.
"""


def audit(root: Path) -> Report:
    """Return what is found in the checkout at a path, the silenced apart.

    Raises:
        CheckoutError: it is no folder, or cannot be listed.
    """
    files = checkout(root)
    known = facts(files)
    context = Context(known)
    silences = silence.silences(files)
    unique: dict[tuple[object, ...], Finding] = {}
    for rule in RULES:
        for finding in rule.findings(context):
            unique.setdefault((finding.rule, finding.location, finding.queue), finding)
    found, silenced = list(silence.faults(silences, RULES)), []
    for finding in unique.values():
        by = next((each for each in silences if each.covers(finding)), None)
        if by is None:
            found.append(finding)
        else:
            silenced.append((finding, by))
    found.sort(key=lambda finding: (-finding.severity.rank, finding.location, finding.rule, finding.message))
    return Report(known, tuple(found), tuple(silenced))


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.rules:
        print(*columns([(rule.id, rule.severity.value, rule.summary) for rule in RULES]), sep="\n")
        return CLEAN
    if given.path is None:
        parser.error("PATH is missing")
    try:
        report = audit(given.path)
        text = FORMATS[given.format](report)
        if given.output is None:
            sys.stdout.write(text)
        else:
            given.output.write_text(text, encoding="utf-8")
    except CheckoutError as error:
        print(f"audit: {error}", file=sys.stderr)
        return UNREADABLE
    except OSError as error:
        print(f"audit: {error.filename}: {error.strerror}", file=sys.stderr)
        return UNREADABLE
    return status(report, Severity(given.severity))


def status(report: Report, least: Severity) -> int:
    """Return the exit status of a report."""
    if any(finding.severity.rank >= least.rank for finding in report.findings):
        return FOUND
    return UNREADABLE if report.facts.unreadable else CLEAN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m surfaces audit",
        description="Say which Celery queues a checkout has, who drains each, and what is wrong. Nothing of it is run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, help="the checkout's root")
    parser.add_argument("--format", choices=sorted(FORMATS), default="table", help="of the report (default: table)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the report there, not to standard output")
    severities = [severity.value for severity in Severity]
    parser.add_argument(
        "--severity",
        choices=severities,
        default="warning",
        help="the least that makes exit status 1 (default: warning)",
    )
    parser.add_argument("--rules", action="store_true", help="list the rules and end")
    return parser
