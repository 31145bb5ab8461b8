"""Reads a Dockerfile: the labels and the user of each final stage, with global arguments at their defaults."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from surfaces.equal.model import Assignment, Pair, UnreadableError

QUEUES = "io.alphaswarm.queues"
CONCURRENCY = "io.alphaswarm.concurrency"
TITLE = "org.opencontainers.image.title"
LABEL = re.compile(r'([\w.-]+)="((?:[^"\\]|\\.)*)"')
ARGUMENT = re.compile(r"\$\{(\w+)\}")


@dataclass
class Stage:
    """A stage, with what it has from the one that it is made from."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    user: str | None = None


def dockerfile(file: Path) -> Iterator[Pair]:
    """Yield what the stages with a label of queues drain."""
    arguments, stages = _parse(file)
    for stage in stages:
        if QUEUES in stage.labels:
            labels = {name: _expand(value, arguments) for name, value in stage.labels.items()}
            user = int((stage.user or "0").partition(":")[0])
            for queue in labels[QUEUES].split(","):
                yield (
                    queue,
                    Assignment(labels[TITLE], int(labels[CONCURRENCY]), target=stage.name, user=user),
                )


def _parse(file: Path) -> tuple[dict[str, str], list[Stage]]:
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for instruction in _instructions(file):
        word, _, rest = instruction.partition(" ")
        if word == "FROM":
            parent, name = re.sub(r"--\S+ ", "", rest).split(" AS ")
            inherited = stages.get(parent)
            current = Stage(name, dict(inherited.labels), inherited.user) if inherited else Stage(name)
            stages[name] = current
        elif word == "ARG" and current is None:
            name, _, value = rest.partition("=")
            arguments[name] = value.strip('"')
        elif word == "LABEL" and current is not None:
            current.labels |= dict(LABEL.findall(rest))
        elif word == "USER" and current is not None:
            current.user = rest.strip()
    return arguments, list(stages.values())


def _instructions(file: Path) -> Iterator[str]:
    """Yield each instruction on one line, without comments."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    for instruction in "\n".join(lines).replace("\\\n", " ").splitlines():
        if instruction.strip():
            yield instruction.strip()


def _expand(text: str, arguments: dict[str, str]) -> str:
    """Return the text with arguments at their defaults; those of a stage alone stay as they are."""
    expanded = ARGUMENT.sub(lambda found: arguments.get(found[1], found[0]), text)
    if not expanded:
        raise UnreadableError("a label is empty")
    return expanded
