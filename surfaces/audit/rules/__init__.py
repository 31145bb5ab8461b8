"""All rules. A new one is a check and its words in the module of its topic; the documentation lists it by itself."""

from surfaces.audit.rules import agreement, once, ownership, scaling, times
from surfaces.audit.rules.rule import Rule

RULES: tuple[Rule, ...] = (*ownership.RULES, *agreement.RULES, *scaling.RULES, *times.RULES, *once.RULES)
