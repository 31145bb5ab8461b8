"""Silences: findings that somebody has looked at and wants no more, each with the reason.

A comment on the finding's line, or alone on the line above, names rules in brackets after the words that COMMENT
matches; what follows is the reason. For what has no comments, and for more than one place, `.queue-audit.yaml` at the
root has a list `ignore` of entries with `rule`, `reason` and, to narrow it, `path` (a pattern) and `queue`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from surfaces.audit.model import Finding, Location, Severity
from surfaces.audit.rules.rule import Found, Rule
from surfaces.audit.walk import Checkout, is_aside
from surfaces.audit.yaml_lines import YamlError, documents, get, line_of, mapping, mappings

FILE = ".queue-audit.yaml"
COMMENT = re.compile(r"(?:#|//|;|--)\s*audit:\s*ignore\[([^\]]*)\]\s*[:-]?\s*(.*?)\s*(?:\*/|-->)?\s*$")
MARK = b"audit: ignore["
RULE = "silence-without-reason"

WHY = "Nobody can tell later whether what was silenced is still right."
WHAT_TO_DO = "Write the reason after the brackets, or as `reason`, and name rules that exist."
SUMMARY = "A silence has no reason, or names a rule that does not exist."


@dataclass(frozen=True)
class Silence:
    """One silence: which findings it is for, where it stands, and why."""

    rules: frozenset[str]
    reason: str
    location: Location
    path: str = "*"
    queue: str | None = None
    line: int | None = None  # of the finding; None is any

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is silenced by it. Without a reason it silences nothing."""
        return (
            bool(self.reason)
            and finding.rule in self.rules
            and fnmatchcase(finding.location.path, self.path)
            and self.queue in (None, finding.queue)
            and self.line in (None, finding.location.line)
        )


def silences(files: Checkout) -> list[Silence]:
    """Return all silences of a checkout."""
    found = list(_of_file(files)) if FILE in files.paths else []
    for path, raw in files.texts.items():
        if MARK in raw and not is_aside(path):
            found.extend(_of_comments(path, files.text(path)))
    return found


def _of_comments(path: str, text: str) -> Iterator[Silence]:
    for number, line in enumerate(text.splitlines(), 1):
        match = COMMENT.search(line)
        if match:
            rules = frozenset(name.strip() for name in match[1].split(",") if name.strip())
            alone = not line[: match.start()].strip()
            yield Silence(rules, match[2], Location(path, number), path, line=number + 1 if alone else number)


def _of_file(files: Checkout) -> Iterator[Silence]:
    try:
        trees = documents(files.text(FILE))
    except YamlError as error:
        yield Silence(frozenset(), "", Location(FILE, error.line))
        return
    for entry in mappings(get(mapping(trees[0] if trees else None), "ignore")):
        named = entry.get("rule")
        rules = [str(name) for name in named] if isinstance(named, list) else [str(named)]
        reason = str(entry.get("reason") or "").strip()
        queue = entry.get("queue")
        yield Silence(
            frozenset(rules),
            reason,
            Location(FILE, line_of(entry, "rule")),
            str(entry.get("path") or "*"),
            None if queue is None else str(queue),
        )


def faults(found: list[Silence], rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """Yield a finding for each silence that cannot be one."""
    known = {rule.id for rule in rules}
    for silence in found:
        unknown = sorted(silence.rules - known)
        told = [] if silence.reason else ["it has no reason"]
        if unknown or not silence.rules:
            told.append(f"no rule is named {', '.join(map(repr, unknown)) or 'in it'}")
        if told:
            fault = Found(f"this silence is none: {'; '.join(told)}", silence.location, ())
            yield Finding(RULE, Severity.ERROR, fault.location, fault.message, (), WHY, WHAT_TO_DO)
