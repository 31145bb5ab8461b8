"""Reads a Dockerfile into stages, far enough to ask what a stage is made of and what it becomes.

Knows comments, continued lines, the flags of an instruction, quoted values, and which arguments an instruction can
see. Knows no here-documents and no parser directives: the fleet's files have none.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
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

    def visible(self, target: str, reader: Instruction) -> dict[str, str]:
        """The arguments that an instruction of the target's line can use: those declared before it, with a value.

        A global argument has its value in a stage that declares it again without one, and in no other.
        """
        found: dict[str, str] = {}
        for one in (one for stage in reversed(self.line(target)) for one in stage.instructions):
            if one is reader:
                return found
            for word in one.words if one.name == "ARG" else ():
                name, given, value = word.partition("=")
                found[name] = value if given else self.arguments.get(name, "")
        raise LookupError(f"{target} has no {reader}")

    def expanded(self, target: str, reader: Instruction) -> str:
        """What an instruction of the target's line says once its arguments are put in."""
        return expanded(reader.rest, self.visible(target, reader))

    def setting(self, target: str, name: str) -> Instruction:
        """The instruction that counts for the target: the nearest one. Raises LookupError when there is none."""
        for stage in self.line(target):
            if found := stage.of(name):
                return found[-1]
        raise LookupError(f"{target} has no {name}")

    def values(self, target: str, name: str) -> dict[str, str]:
        """The ENV or LABEL pairs that the target ends up with, of this file, as they are written."""
        merged: dict[str, str] = {}
        for stage in reversed(self.line(target)):
            merged |= stage.pairs(name)
        return merged

    def labels(self, target: str) -> dict[str, str]:
        """The labels that the target ends up with, as a build without arguments of its own makes them."""
        found = [one for stage in reversed(self.line(target)) for one in stage.of("LABEL")]
        words = [word for one in found for word in shlex.split(self.expanded(target, one))]
        return dict(word.partition("=")[::2] for word in words)


def expanded(text: str, values: Mapping[str, str]) -> str:
    """The text as a build expands it, which is as a shell does; quotes stay."""
    done = subprocess.run(
        ["sh", "-c", f"cat << TEXT\n{text}\nTEXT\n"], env=values, capture_output=True, text=True, check=True
    )
    return done.stdout.removesuffix("\n")


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
