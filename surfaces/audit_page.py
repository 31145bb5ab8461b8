"""docs/audit-rules.md: the audit's rules, from their registry."""

from typing import Final

from surfaces.audit import silence
from surfaces.audit.model import Severity
from surfaces.audit.rules import RULES
from surfaces.markdown import table

INTRODUCTION: Final = """\
<!-- Generated from surfaces/audit/rules/ by `make surfaces`; do not edit. -->
# Rules of the audit

What [`python -m surfaces audit`](audit.md) reports. A finding that rests on something concluded, and not read, says so
in its evidence.

"""


def rules_page() -> str:
    """Return the text of audit-rules.md."""
    rows = [
        *((f"`{rule.id}`", rule.severity.value, rule.summary, rule.why, rule.what_to_do) for rule in RULES),
        (f"`{silence.RULE}`", Severity.ERROR.value, silence.SUMMARY, silence.WHY, silence.WHAT_TO_DO),
    ]
    return INTRODUCTION + table(("rule", "severity", "what", "why", "what to do"), rows).removesuffix("\n")
