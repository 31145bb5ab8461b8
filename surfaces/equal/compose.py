"""Reads a Compose file: the queues of each service, with variables at their defaults."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surfaces.equal.model import Assignment, Pair, amounts, parse_yaml

VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")


def compose(file: Path) -> Iterator[Pair]:
    """Yield what each service drains."""
    for service in parse_yaml(file.read_text())["services"].values():
        environment = service.get("environment", {})
        for queue in environment.get("ALPHASWARM_QUEUES", "").split(","):
            if queue:
                yield queue, _assignment(service, environment)


def _assignment(service: Mapping[str, Any], environment: Mapping[str, str]) -> Assignment:
    resources = service["deploy"]["resources"]
    reference = VARIABLE.sub(r"\1", service["image"])
    return Assignment(
        reference.partition(":")[0],
        concurrency=int(environment["ALPHASWARM_CONCURRENCY"]),
        requests=amounts(resources["reservations"], "cpus"),
        limits=amounts(resources["limits"], "cpus"),
        target=service["build"]["target"],
        user=int(service["user"].partition(":")[0]),
    )
