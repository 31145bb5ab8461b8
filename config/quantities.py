"""Kubernetes quantities as numbers and back: thousandths of a processor, and MiB."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from queues import Resources

MILLI_CPU: Final = 1000
MEBIBYTES: Final = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
FACTORS: Final = {
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("num", start=-3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
QUANTITY: Final = re.compile(
    r"\+?(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)((?P<suffix>[num]|[kMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)


def milli_cpu(quantity: str) -> int:
    """Return a quantity in thousandths of a processor: `500m` is 500, `4` is 4000, `0.5` is 500."""
    if quantity.endswith("m"):
        return int(quantity[:-1])
    return round(float(quantity) * MILLI_CPU)


def mebibytes(quantity: str) -> int:
    """Return a quantity in MiB: `1Gi` is 1024.

    Raises:
        KeyError: a unit that neither the catalogue nor a stack's file may use.
    """
    return int(quantity[:-2]) * MEBIBYTES[quantity[-2:]]


def format_mebibytes(amount: int) -> str:
    """Return a number of MiB as a quantity, in GiB where it is a whole number of them: 2048 is `2Gi`."""
    return f"{amount // 1024}Gi" if amount % 1024 == 0 else f"{amount}Mi"


def total_cpu(pods: Iterable[tuple[int, Resources]], factor: float) -> str:
    """Return the processors of so many pods of each kind, times `factor`, as a quantity rounded up."""
    return str(math.ceil(factor * sum(count * milli_cpu(each.cpu) for count, each in pods) / 1000))


def total_memory(pods: Iterable[tuple[int, Resources]], factor: float) -> str:
    """Return the memory of so many pods of each kind, times `factor`, as a quantity rounded up."""
    return f"{math.ceil(factor * sum(count * mebibytes(each.memory) for count, each in pods) / 1024)}Gi"


def quantity(text: object) -> Decimal | None:
    """Return what a quantity in any spelling of Kubernetes is as a number; None if it is none: `1k`, `0.5`, `2Gi`."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    found = QUANTITY.fullmatch(str(text))
    if found is None:
        return None
    return Decimal(found["number"]) * FACTORS[found["suffix"] or ""] * Decimal(10) ** int(found["exponent"] or 0)


def rounded_mebibytes(text: object) -> int:
    """Return a quantity in any spelling in MiB, rounded up; 0 if it is none."""
    return math.ceil((quantity(text) or 0) / FACTORS["Mi"])
