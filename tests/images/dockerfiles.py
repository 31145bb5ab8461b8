"""Reads a Dockerfile into stages, far enough to ask what a stage is made of and what it becomes.

Knows comments, continued lines, the flags of an instruction, quoted values, and variables with their `%` and `#`
forms left as they stand. Knows no here-documents and no parser directives: the fleet's files have none.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction; `flags` as written, `rest` without them."""

    name: str
    flags: tuple[str, ...]
    rest: str

    @property
    def words(self) -> tuple[str, ...]:
        """The rest as a shell would split it, or the array it is."""
        if self.rest.startswith("["):
            return tuple(json.loads(self.rest))
        return tuple(shlex.split(self.rest))


@dataclass(frozen=True)
class Stage:
    """One build stage."""

    name: str
    parent: str
    flags: tuple[str, ...]
    instructions: tuple[Instruction, ...]

    def of(self, name: str) -> tuple[Instruction, ...]:
        """All instructions of that name, in order."""
        return tuple(one for one in self.instructions if one.name == name)

    def pairs(self, name: str) -> dict[str, str]:
        """The keys and values of all ENV, LABEL or ARG instructions."""
        return dict(word.partition("=")[::2] for one in self.of(name) for word in one.words)

    @property
    def sources(self) -> frozenset[str]:
        """The stages that it copies or mounts from."""
        text = [flag for one in self.instructions for flag in one.flags]
        return frozenset(found for flag in text for found in re.findall(r"(?:^--|,)from=([\w-]+)", flag))


@dataclass(frozen=True)
class Dockerfile:
    """A parsed file."""

    arguments: dict[str, str]
    stages: dict[str, Stage] = field(default_factory=dict)

    def line(self, name: str) -> tuple[Stage, ...]:
        """The stage and those it is built on, itself first."""
        found = []
        while name in self.stages:
            found.append(self.stages[name])
            name = self.expand(self.stages[name].parent)
        return tuple(found)

    def needed(self, name: str) -> frozenset[str]:
        """Every stage that BuildKit builds for the target."""
        seen: set[str] = set()
        todo = [name]
        while todo:
            stage = self.stages.get(todo.pop())
            if stage is None or stage.name in seen:
                continue
            seen.add(stage.name)
            todo += [self.expand(stage.parent), *stage.sources]
        return frozenset(seen)

    def expand(self, text: str) -> str:
        """The text with the file's own arguments in place of their names."""
        return re.sub(r"\$\{(\w+)\}", lambda match: self.arguments.get(match[1], match[0]), text)

    def setting(self, target: str, name: str) -> Instruction:
        """The instruction that counts for the target: the nearest one. Raises LookupError when there is none."""
        for stage in self.line(target):
            if found := stage.of(name):
                return found[-1]
        raise LookupError(f"{target} has no {name}")

    def values(self, target: str, name: str) -> dict[str, str]:
        """The ENV or LABEL pairs that the target ends up with, of this file."""
        merged: dict[str, str] = {}
        for stage in reversed(self.line(target)):
            merged |= stage.pairs(name)
        return merged


def read(file: Path) -> Dockerfile:
    """Parse the file."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for instruction in _instructions(file.read_text()):
        if instruction.name == "FROM":
            parent, _, name = instruction.words if len(instruction.words) == 3 else (*instruction.words, "", "")
            current = Stage(name, parent, instruction.flags, ())
        elif current is None:
            arguments |= dict(word.partition("=")[::2] for word in instruction.words)
            continue
        else:
            current = Stage(current.name, current.parent, current.flags, (*current.instructions, instruction))
        stages[current.name] = current
    return Dockerfile(arguments, stages)


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [_instruction(line) for line in joined.splitlines()]


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().partition(" ")
    flags = []
    while match := re.match(r"\s*(--\S+)\s*", rest):
        flags.append(match[1])
        rest = rest[match.end() :]
    return Instruction(name.upper(), tuple(flags), rest.strip())
