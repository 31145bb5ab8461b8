"""Celery's command lines in Makefiles, justfiles, shell scripts and code: what somebody starts by hand.

They run from the checkout itself, so a file is one image, and none of them is compared with a deployment.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from surfaces.audit.commands import Script, script_invocations, started
from surfaces.audit.model import Beat, Code, Drain, Invocation, Location, Surface, Unit
from surfaces.audit.shell import substitute
from surfaces.audit.walk import Checkout, folder_of, is_aside

NAMES = ("Makefile", "makefile", "GNUmakefile", "*.mk", "justfile", "Justfile")
SCRIPTS = ("*.sh", "*.bash")


def of_makefiles(checkout: Checkout) -> tuple[list[Drain], list[Beat]]:
    """Return what the recipes of Makefiles start."""
    drains: list[Drain] = []
    beats: list[Beat] = []
    for path in checkout.named(*NAMES):
        if b"celery" in checkout.bytes_of(path):
            _add(
                Surface("makefile", path, whole=False, aside=is_aside(path)),
                _recipes(checkout.text(path)),
                drains,
                beats,
            )
    return drains, beats


def _recipes(text: str) -> str:
    """Return a Makefile as a shell's text with the same lines: variables replaced, only the recipes left."""
    variables = {
        match[1]: match[2].strip() for match in re.finditer(r"^([A-Za-z_]\w*)\s*[:?]?=[ \t]*(.*)$", text, re.MULTILINE)
    }
    lines = []
    for line in text.splitlines():
        if line[:1] not in ("\t", " "):
            lines.append("")
            continue
        body = re.sub(r"^\s*[@+-]*", "", line).replace("$$", "\x01")
        body = substitute(re.sub(r"\$\(([A-Za-z_]\w*)\)", r"${\1}", body), variables)
        lines.append(body.replace("\x01", "$"))
    return "\n".join(lines)


def of_scripts(checkout: Checkout, followed: Iterable[str]) -> tuple[list[Drain], list[Beat]]:
    """Return what shell scripts start that nothing else was seen to run."""
    drains: list[Drain] = []
    beats: list[Beat] = []
    known = set(followed)
    for path in _scripts(checkout):
        if path not in known:
            _add(Surface("shell", path, whole=False, aside=is_aside(path)), checkout.text(path), drains, beats)
    return drains, beats


def _scripts(checkout: Checkout) -> Iterator[str]:
    named = set(checkout.named(*SCRIPTS))
    for path in checkout.paths:
        if path not in named and "." in path.rpartition("/")[2]:
            continue
        raw = checkout.bytes_of(path)
        first = raw[:80].split(b"\n", 1)[0]
        if b"celery" in raw and (path in named or (first.startswith(b"#!") and b"sh" in first)):
            yield path


OTHERS = (".toml", ".json", ".yaml", ".yml", ".j2", ".tpl", ".conf", ".cfg", ".hcl", ".nomad", ".ps1", ".bat")


def elsewhere(checkout: Checkout, read: Iterable[str]) -> list[Drain]:
    """Return workers in files whose form no reader knows: fly.toml, task definitions as JSON, playbooks.

    They may not run, so nothing is found on them; but a queue of theirs is not said to be drained by nobody.
    """
    known = set(read)
    drains = []
    for path in checkout.paths:
        if path in known or not path.endswith(OTHERS) or path.startswith(".github/"):
            continue
        raw = checkout.texts.get(path, b"")
        if b"celery" not in raw or b"worker" not in raw:
            continue
        surface = Surface("other", path, whole=False, aside=is_aside(path))
        for invocation, line in _anywhere(checkout.text(path)):
            unit = Unit(surface, path, (), Location(path, line), certain=False)
            drains.append(Drain(unit, replace(invocation, certain=False, maybe=True), location=unit.location))
    return drains


def _anywhere(text: str) -> Iterator[tuple[Invocation, int]]:
    """Yield the workers of a text's lines, and of its lists of words in brackets."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(r"(?:[\w./-]*/)?celery\b[^\"'\]]*\bworker\b[^\"'\]]*", line):
            yield from ((found, number) for found, _ in script_invocations(Script("", match[0])))
    for match in re.finditer(r"\[[^\[\]]*\bcelery\b[^\[\]]*\bworker\b[^\[\]]*\]", text):
        words = [one or other for one, other in re.findall(r"\"([^\"]*)\"|'([^']*)'", match[0])]
        if invocation := started(words):
            yield invocation, text.count("\n", 0, match.start()) + 1


def of_code(code: Code) -> tuple[list[Drain], list[Beat]]:
    """Return what Python code starts itself, by `worker_main` or as a process."""
    drains: list[Drain] = []
    beats: list[Beat] = []
    for each in code.started:
        invocation = started(each.words)
        if invocation is None:
            continue
        unit = Unit(Surface("python", each.location.path, whole=False), each.location.path, each.words, each.location)
        if invocation.kind == "worker":
            drains.append(Drain(unit, invocation, time_limit=invocation.time_limit, location=each.location))
        else:
            beats.append(Beat(unit, invocation, each.location))
    return drains, beats


def _add(surface: Surface, text: str, drains: list[Drain], beats: list[Beat]) -> None:
    for invocation, line in script_invocations(Script(surface.name, text)):
        location = Location(surface.name, line)
        unit = Unit(surface, surface.name, text, location, folder=folder_of(surface.name))
        if invocation.kind == "worker":
            drains.append(Drain(unit, invocation, time_limit=invocation.time_limit, location=location))
        else:
            beats.append(Beat(unit, invocation, location))
