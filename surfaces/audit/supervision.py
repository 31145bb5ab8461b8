"""Programs of supervisor and services of systemd. What a machine runs is one installation, so one image."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from surfaces.audit import shell
from surfaces.audit.compose import dotenv
from surfaces.audit.model import UNKNOWN, Location, Surface, Unit
from surfaces.audit.texts import seconds, whole
from surfaces.audit.walk import Checkout, folder_of, is_aside

# supervisor's stopwaitsecs, systemd's DefaultTimeoutStopSec
DEFAULT_WAIT = 10.0
DEFAULT_STOP = 90.0


@dataclass
class Section:
    """A section of an ini file: its values by name, each with its line."""

    name: str
    values: dict[str, tuple[str, int]] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a value."""
        return self.values[name][0] if name in self.values else None

    def line(self, name: str) -> int:
        """Return a value's line."""
        return self.values[name][1] if name in self.values else 1


def sections(text: str, *, continued: str) -> list[Section]:
    """Return a file's sections. `continued`: what goes on in the next line, a backslash or an indented line."""
    found: list[Section] = []
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if header := re.fullmatch(r"\[([^\]]+)\]\s*(;.*)?", stripped):
            found.append(Section(header[1]))
            last = ""
        elif not found or not stripped or stripped[0] in "#;":
            continue
        elif last and _continues(found[-1], last, line, continued):
            value, begun = found[-1].values[last]
            found[-1].values[last] = (f"{value.removesuffix(continued)} {stripped}", begun)
        elif match := re.match(r"([^=:\s]+)\s*[=:]\s*(.*)", stripped):
            last = match[1]
            found[-1].values[last] = (match[2], number)
            found[-1].repeated.setdefault(last, []).append(match[2])
    return found


def _continues(section: Section, last: str, line: str, continued: str) -> bool:
    return section.values[last][0].endswith("\\") if continued == "\\" else line[:1] in " \t"


def supervisor_units(checkout: Checkout) -> Iterator[Unit]:
    """Yield supervisor's programs. The files beside each other are included by one supervisord.conf: one surface."""
    for path in checkout.named("*.conf", "*.ini", "*.conf.*", "*.supervisor", "supervisord*"):
        if b"[program:" not in checkout.bytes_of(path):
            continue
        surface = Surface("supervisor", folder_of(path) or ".", aside=is_aside(path))
        for section in sections(checkout.text(path), continued=" "):
            command = section.text("command")
            if section.name.startswith("program:") and command:
                yield _program(surface, path, section, command)


def _program(surface: Surface, path: str, section: Section, command: str) -> Unit:
    wait = seconds(section.text("stopwaitsecs"))
    words = shell.split((section.text("environment") or "").replace(",", " , "))
    environment = {name: value.rstrip(",") for name, equals, value in (word.partition("=") for word in words) if equals}
    return Unit(
        surface=surface,
        name=section.name.partition(":")[2],
        command=re.sub(r"%\((ENV_)?\w+\)[sd]", UNKNOWN, re.split(r"\s;", command)[0]),
        location=Location(path, section.line("command")),
        environment=environment,
        grace=DEFAULT_WAIT if wait is None else wait,
        grace_is_default=wait is None,
        replicas=whole(section.text("numprocs")) or 1,
        folder=folder_of(path),
    )


def systemd_units(checkout: Checkout) -> Iterator[Unit]:
    """Yield systemd's services. Those in one folder are one machine's."""
    for path in checkout.named("*.service", "*.service.*"):
        if b"ExecStart" not in checkout.bytes_of(path):
            continue
        surface = Surface("systemd", folder_of(path) or ".", aside=is_aside(path))
        for section in sections(checkout.text(path), continued="\\"):
            command = section.text("ExecStart")
            if section.name == "Service" and command:
                yield _service(checkout, surface, path, section, command)


def _service(checkout: Checkout, surface: Surface, path: str, section: Section, command: str) -> Unit:
    stop = section.text("TimeoutStopSec") or section.text("TimeoutSec")
    environment: dict[str, str] = {}
    for text in section.repeated.get("Environment", []):
        environment.update({name: value for name, _, value in (word.partition("=") for word in shell.split(text))})
    for text in section.repeated.get("EnvironmentFile", []):
        environment.update(_environment_file(checkout, path, text))
    return Unit(
        surface=surface,
        name=path.rpartition("/")[2].partition(".service")[0],
        command=command.lstrip("-@:+!"),
        location=Location(path, section.line("ExecStart")),
        environment=environment,
        grace=seconds(stop) if stop else DEFAULT_STOP,
        grace_is_default=not stop,
        folder=folder_of(path),
    )


def _environment_file(checkout: Checkout, path: str, text: str) -> dict[str, str]:
    """Return the variables of a file that lies in the checkout under the name it has on the machine."""
    name = text.lstrip("-").rpartition("/")[2]
    near = [other for other in checkout.paths if other.rpartition("/")[2] == name and not is_aside(other)]
    near.sort(key=lambda other: folder_of(other) != folder_of(path))
    return dotenv(checkout.text(near[0])) if name and near else {}
