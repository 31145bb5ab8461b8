"""Stages of Dockerfiles: what each runs, with the environment, the copied scripts and the base's instructions.

The command of an image is ENTRYPOINT followed by CMD; a stage has those of the stage that it is built from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from surfaces.audit import shell
from surfaces.audit.model import UNKNOWN, Location, Surface, Unit
from surfaces.audit.texts import CHANNELS
from surfaces.audit.walk import Checkout, folder_of, is_aside

NAMES = ("Dockerfile", "Dockerfile.*", "Dockerfile-*", "*.Dockerfile", "*.dockerfile", "Containerfile", "dockerfile")

Command = str | tuple[str, ...] | None


@dataclass(frozen=True)
class Stage:
    """One stage, with what it has from its base."""

    path: str
    name: str
    line: int
    base: str = ""
    entrypoint: Command = None
    cmd: Command = None
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    copies: tuple[tuple[str, str], ...] = ()  # source, destination
    command_line: int = 0  # of CMD, or of ENTRYPOINT


def run(entrypoint: Command, cmd: Command) -> str | tuple[str, ...]:
    """Return the whole command: a shell's text, or words."""
    if isinstance(entrypoint, str) or not entrypoint:
        return entrypoint or cmd or ()
    if isinstance(cmd, str):
        return (*entrypoint, "/bin/sh", "-c", cmd)
    return (*entrypoint, *(cmd or ()))


def stages(path: str, text: str) -> list[Stage]:
    """Return a Dockerfile's stages in order."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for line, name, rest in _instructions(text):
        if name == "FROM":
            found.append(_from(path, line, shell.substitute(rest, arguments), found))
        elif name == "ARG" and not found:
            arguments.update(_pairs(rest, arguments))
        elif found:
            found[-1] = _applied(found[-1], line, name, rest, arguments)
    return found


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        begin, whole = at, lines[at].strip()
        at += 1
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\") and at < len(lines):
            following = lines[at].strip()
            at += 1
            if not following.startswith("#"):
                whole = whole[:-1] + " " + following
        name, _, rest = whole.partition(" ")
        if name.upper() in ("RUN", "COPY") and (here := re.findall(r"<<-?['\"]?(\w+)", rest)):
            while at < len(lines) and lines[at].strip() != here[-1]:
                at += 1
        yield begin + 1, name.upper(), rest.strip()


def _from(path: str, line: int, rest: str, earlier: list[Stage]) -> Stage:
    words = [word for word in rest.split() if not word.startswith("--")]
    base = words[0] if words else ""
    name = words[2] if len(words) > 2 and words[1].lower() == "as" else ""
    for stage in earlier:
        if stage.name and stage.name.lower() == base.lower():
            return replace(stage, name=name, line=line, base=base)
    return Stage(path, name, line, base=base)


def _applied(stage: Stage, line: int, name: str, rest: str, arguments: Mapping[str, str]) -> Stage:
    if name in ("CMD", "ENTRYPOINT"):
        command = _command(rest)
        if name == "CMD":
            return replace(stage, cmd=command, command_line=line)
        # An ENTRYPOINT resets the base's CMD.
        kept = stage.cmd if stage.command_line > stage.line else None
        return replace(stage, entrypoint=command, cmd=kept, command_line=line)
    known = {**arguments, **stage.environment}
    if name == "ARG":
        bare = {word: arguments[word] for word in rest.split() if word in arguments}
        return replace(stage, environment={**bare, **_pairs(rest, known), **stage.environment})
    if name == "ENV":
        return replace(stage, environment={**stage.environment, **_pairs(rest, known)})
    if name == "LABEL":
        return replace(stage, labels={**stage.labels, **_pairs(rest, known)})
    if name in ("COPY", "ADD"):
        words = [word.strip('"') for word in rest.strip("[]").replace('", "', '" "').split() if word[:2] != "--"]
        return replace(stage, copies=(*stage.copies, *((source, words[-1]) for source in words[:-1])))
    return stage


def _command(rest: str) -> Command:
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return rest
        return tuple(str(word) for word in words) if isinstance(words, list) else rest
    return rest


def _pairs(rest: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ENV, ARG or LABEL: `A=b C="d e"`, or the old `A b`."""
    words = shell.split(rest, known)
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])} if len(words) > 1 else {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def find_stage(found: list[Stage], target: str | None) -> Stage | None:
    """Return the stage of a build's target: the last one where none is named."""
    if target:
        return next((stage for stage in found if stage.name.lower() == target.lower()), None)
    return found[-1] if found else None


@dataclass(frozen=True)
class Dockerfiles:
    """All Dockerfiles of a checkout, by path."""

    stages: Mapping[str, list[Stage]]

    def units(self) -> Iterator[Unit]:
        """Yield what each stage runs that no other is built from.

        The stages of one Dockerfile are one surface. Dockerfiles of one image each are together another.
        """
        for path, found in self.stages.items():
            bases = {stage.base.lower() for stage in found}
            leaves = [stage for stage in found if stage.name.lower() not in bases or not stage.name]
            leaves = [stage for stage in leaves if stage is found[-1] or stage.command_line]
            alone = len(leaves) == 1
            for stage in leaves:
                name = "Dockerfiles" if alone else path
                surface = Surface("dockerfile", name, whole=False, aside=is_aside(path))
                yield self._unit(surface, stage, identity(path) if alone else f"{path}#{identity(stage.name)}")

    def _unit(self, surface: Surface, stage: Stage, image: str) -> Unit:
        labelled = [text for name, text in stage.labels.items() if name.rpartition(".")[2] == "queues"]
        labels = {"QUEUES": labelled[0]} if labelled else {}
        command = run(stage.entrypoint, stage.cmd)
        return Unit(
            surface=surface,
            name=stage.name or stage.path,
            command=command,
            location=Location(stage.path, stage.command_line or stage.line),
            image=f"{stage.path} target {stage.name}" if stage.name and surface.name == stage.path else stage.path,
            images=frozenset({image}),
            environment={**labels, **_fixed(stage.environment)},
            folder=folder_of(stage.path),
        )


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if value != UNKNOWN}


def identity(path: str) -> str:
    """Return a Dockerfile's path without words for where it runs: Dockerfile and Dockerfile.prod are one image's."""
    words = re.split(r"[/._-]+", path.lower())
    return "/".join(word for word in words if word not in CHANNELS)


def read(checkout: Checkout) -> Dockerfiles:
    """Return all Dockerfiles. A Dockerfile cannot be broken: what is no instruction is ignored."""
    return Dockerfiles({path: stages(path, checkout.text(path)) for path in checkout.named(*NAMES)})
