"""The report: a table for people, JSON for programs, SARIF for GitHub and editors.

SARIF is that of 2.1.0, https://docs.oasis-open.org/sarif/sarif/v2.1.0/; what GitHub needs of it is at
https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from surfaces.audit import silence
from surfaces.audit.model import Drain, Facts, Finding, Location, Severity
from surfaces.audit.rules import RULES
from surfaces.audit.rules.context import Context
from surfaces.audit.silence import Silence

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
NAME = "queue-audit"
SHOWN = 4  # workers of a queue in the table; JSON has all


@dataclass(frozen=True)
class Report:
    """What was found in a checkout."""

    facts: Facts
    findings: tuple[Finding, ...]
    silenced: tuple[tuple[Finding, Silence], ...] = ()


def queues(facts: Facts) -> dict[str, tuple[list[str], list[Drain]]]:
    """Return every queue by name: the places that name it, and the workers that drain it."""
    context = Context(facts)
    names = sorted({*context.routed, *context.drained, *context.declared})
    return {name: (_sources(context, name), context.drained.get(name, [])) for name in names}


def _sources(context: Context, queue: str) -> list[str]:
    sources = [route.source for route in context.routed.get(queue, [])]
    if queue in context.declared:
        sources.append("task_queues")
    return list(dict.fromkeys(sources))


def table(report: Report) -> str:
    """Return the report for people: queues, then findings with their evidence."""
    lines = [*_queue_table(report.facts), ""]
    for finding in report.findings:
        lines.append(f"{finding.location}: {finding.severity.value}: {finding.message} [{finding.rule}]")
        lines.extend(f"    {text}" for text in finding.evidence)
        lines.extend((f"    why: {finding.why}", f"    do:  {finding.what_to_do}", ""))
    lines.extend(f"{broken.location}: unreadable: {broken.reason}" for broken in report.facts.unreadable)
    errors = sum(finding.severity is Severity.ERROR for finding in report.findings)
    lines.append(
        f"{errors} errors, {len(report.findings) - errors} warnings, {len(report.silenced)} silenced, "
        f"{len(report.facts.unreadable)} files unreadable; {report.facts.read} of {report.facts.files} files read"
    )
    return "\n".join(lines) + "\n"


def _queue_table(facts: Facts) -> list[str]:
    rows = [("QUEUE", "SENT BY", "DRAINED BY")]
    for name, (sources, drains) in queues(facts).items():
        who = dict.fromkeys(f"{drain.surface.kind} {drain.unit.name} ({drain.location.path})" for drain in drains)
        more = [f"and {len(who) - SHOWN} more"] if len(who) > SHOWN else []
        rows.append((name, ", ".join(sources) or "-", "; ".join([*list(who)[:SHOWN], *more]) or "-"))
    unread = {drain.location.path: drain for drain in facts.drains if drain.invocation.is_open}
    rows.extend(("?", "-", f"{drain.surface.kind} {drain.unit.name} ({path})") for path, drain in unread.items())
    return columns(rows) if len(rows) > 1 else ["No queue of Celery was found."]


def as_json(report: Report) -> str:
    """Return the report for programs."""
    found = {
        "queues": [
            {"name": name, "sent_by": sources, "drained_by": [_drain(drain) for drain in drains]}
            for name, (sources, drains) in queues(report.facts).items()
        ],
        "findings": [_finding(finding) for finding in report.findings],
        "silenced": [{**_finding(finding), "reason": by.reason} for finding, by in report.silenced],
        "unreadable": [{**_place(broken.location), "reason": broken.reason} for broken in report.facts.unreadable],
        "files": report.facts.files,
        "files_read": report.facts.read,
    }
    return json.dumps(found, indent=2) + "\n"


def _place(location: Location) -> dict[str, Any]:
    return {"path": location.path, "line": location.line}


def _drain(drain: Drain) -> dict[str, Any]:
    return {
        "surface": drain.surface.kind,
        "surface_name": drain.surface.name,
        "unit": drain.unit.name,
        "image": drain.unit.image,
        "concurrency": drain.invocation.concurrency,
        "time_limit": drain.time_limit,
        "grace_period": drain.unit.grace,
        "certain": drain.certain,
        **_place(drain.location),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        **_place(finding.location),
        "queue": finding.queue,
        "message": finding.message,
        "evidence": list(finding.evidence),
        "why": finding.why,
        "what_to_do": finding.what_to_do,
        "certain": finding.certain,
        "related": [_place(location) for location in finding.related],
    }


def sarif(report: Report) -> str:
    """Return the report as SARIF; a silenced finding is a result with a suppression."""
    rules = [*((rule.id, rule.severity, rule.summary, rule.why, rule.what_to_do) for rule in RULES)]
    rules.append((silence.RULE, Severity.ERROR, silence.SUMMARY, silence.WHY, silence.WHAT_TO_DO))
    index = {rule[0]: number for number, rule in enumerate(rules)}
    results = [_result(finding, index) for finding in report.findings]
    for finding, by in report.silenced:
        kind = "external" if by.location.path == silence.FILE else "inSource"
        suppression = {"kind": kind, "justification": by.reason}
        results.append({**_result(finding, index), "suppressions": [suppression]})
    run = {
        "tool": {"driver": {"name": NAME, "rules": [_descriptor(*rule) for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _descriptor(name: str, severity: Severity, summary: str, why: str, what_to_do: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": summary},
        "fullDescription": {"text": f"{summary} {why}"},
        "help": {"text": what_to_do},
        "defaultConfiguration": {"level": severity.value},
        "properties": {"tags": ["celery", "deployment"], "problem.severity": severity.value},
    }


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    text = "\n".join([f"{finding.message}.", *finding.evidence, finding.what_to_do])
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": finding.severity.value,
        "message": {"text": text},
        "locations": [_physical(finding.location)],
        "partialFingerprints": {"queueAudit/v1": _fingerprint(finding)},
    }
    if finding.related:
        result["relatedLocations"] = [_physical(location) for location in finding.related]
    return result


def _physical(location: Location) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(location.path), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": max(location.line, 1)},
        }
    }


def _uri(path: str) -> str:
    return quote(path)


def _fingerprint(finding: Finding) -> str:
    """Return what stays the same while lines move: rule, file, queue and message."""
    parts = (finding.rule, finding.location.path, finding.queue or "", finding.message)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _invocation(report: Report) -> dict[str, Any]:
    told = [
        {"level": "warning", "message": {"text": broken.reason}, "locations": [_physical(broken.location)]}
        for broken in report.facts.unreadable
    ]
    return {"executionSuccessful": True, "toolExecutionNotifications": told}


FORMATS = {"table": table, "json": as_json, "sarif": sarif}


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    lines = [list(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)] if lines else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)), line[-1]])
        for line in lines
    ]
