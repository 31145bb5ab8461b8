"""What a rule is, and how it makes a finding."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from surfaces.audit.model import Finding, Location, Severity
from surfaces.audit.rules.context import Context


@dataclass(frozen=True)
class Found:
    """What a rule's check says of one place; the rule adds the rest."""

    message: str
    location: Location
    evidence: tuple[str, ...]
    queue: str | None = None
    certain: bool = True
    related: tuple[Location, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule: how it is named in a silence, how bad its findings are, why they matter and what to do."""

    id: str
    severity: Severity
    summary: str
    why: str
    what_to_do: str
    check: Callable[[Context], Iterable[Found]]

    def findings(self, context: Context) -> Iterator[Finding]:
        """Yield what the rule finds."""
        for found in self.check(context):
            guess = () if found.certain else ("Part of this was not read but concluded; see the evidence.",)
            yield Finding(
                rule=self.id,
                severity=self.severity,
                location=found.location,
                message=found.message,
                evidence=(*found.evidence, *guess),
                why=self.why,
                what_to_do=self.what_to_do,
                queue=found.queue,
                certain=found.certain,
                related=found.related,
            )
