"""Reads the surfaces that are data: image catalogue, topology, Terraform's variables, the runtime's catalogue."""

import json
from collections.abc import Iterator
from pathlib import Path

from surfaces.equal.model import Assignment, Pair, UnreadableError, amounts, parse_yaml


def image_catalogue(file: Path) -> Iterator[Pair]:
    """Yield what each role drains."""
    for role in parse_yaml(file.read_text())["images"].values():
        for queue in role.get("queues", ()):
            yield (
                queue,
                Assignment(
                    role["repository"],
                    role["concurrency"],
                    requests=amounts(role["requests"]),
                    limits=amounts(role["limits"]),
                    target=role["target"],
                    user=role["user"],
                ),
            )


def topology(file: Path) -> Iterator[Pair]:
    """Yield what each entry drains."""
    for entry in parse_yaml(file.read_text())["entries"]:
        for queue in entry["queues"]:
            yield queue, Assignment(entry["image"], target=entry["role"])


def terraform(folder: Path) -> Iterator[Pair]:
    """Yield what the module's Deployments drain: the image of each queue is decided by `heavy_queues` alone."""
    heavy = set(json.loads((folder / "heavy_queues.auto.tfvars.json").read_text())["heavy_queues"])
    fleet = json.loads((folder / "fleet.auto.tfvars.json").read_text())
    if unknown := heavy - fleet["queues"].keys():
        raise UnreadableError(f"heavy_queues names {', '.join(sorted(unknown))}, which no row has")
    for queue, row in fleet["queues"].items():
        profile = fleet["profiles"]["executor" if queue in heavy else "worker"]
        resources = profile["container"]["resources"]
        yield (
            queue,
            Assignment(
                profile["image"],
                own_concurrency=row["concurrency"],
                requests=amounts(resources["requests"]),
                limits=amounts(resources["limits"]),
                user=profile["pod"]["securityContext"]["runAsUser"],
            ),
        )


def runtime_catalogue(file: Path) -> Iterator[Pair]:
    """Yield what the images' runtime consumes, and refuses to consume."""
    catalogue = json.loads(file.read_text())
    for target, image in catalogue["images"].items():
        for queue in image["queues"]:
            row = catalogue["queues"][queue]
            if row["image"] != target:
                raise UnreadableError(f"queue {queue} is of {target} in one place and of {row['image']} in another")
            yield queue, Assignment(image["name"], image["concurrency"], row["concurrency"], target=target)


def page(file: Path) -> Iterator[Pair]:
    """Yield the rows of the first table of docs/queues.md."""
    lines = iter(file.read_text().splitlines())
    header: list[str] = next((_cells(line) for line in lines if line.startswith("| queue |")), [])
    if not header:
        raise UnreadableError("it has no table of queues")
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        row = dict(zip(header, _cells(line), strict=True))
        yield row["queue"].strip("`"), Assignment(row["image"], own_concurrency=int(row["concurrency"]))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
