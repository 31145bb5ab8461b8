"""Validation errors of a configuration, by the keys of the file that it was read from.

Pydantic reports a location and an error type of its own: the path contains the selected member of a union, and the
type is an internal name. Here they become the key as the file writes it, the value that was given, what is allowed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

VALUE_CHARACTERS: Final = 80
PLAIN_STEP: Final = re.compile(r"[^\s.\[\]\"]+")
PASSWORD_IN_URL: Final = re.compile(r"(?<=//)\S*@|(?<=['\"])[^@\s'\"/]*:[^@\s'\"]+@")
# The last step of a key, or a name, that says so of its value; and a plain variable's value, whose name is elsewhere.
MASKED_KEY: Final = re.compile(
    r"(pass(word|wd)?|pwd|secret|token|api_?key|access_?key|private_?key)(\[[0-9]+\])?$|\benv\[[0-9]+\]\.value$",
    re.IGNORECASE,
)
KEY_ITSELF: Final = "[key]"  # pydantic's last step where a name of the reader's own is not allowed

IN_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "a mapping"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text, in quotes",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
}
"""What is allowed, by pydantic's error type."""


class Section(BaseModel):
    """A mapping of the file: frozen, camel case in the file, unknown keys refused."""

    # A section is built when it is first needed: most are only ever read as a part of the whole.
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, defer_build=True)

    refused: ClassVar[Mapping[str, str]] = {}
    """The messages for keys that a reader might try and that do not exist."""


class SettingsError(ValueError):
    """The stack's configuration is invalid; the message lists every error."""


@dataclass(frozen=True)
class ErrorLine:
    """One error of one key."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True)
class ErrorReader:
    """Turns pydantic's errors into lines for one kind of file: `root` is its model, and its keys begin with `prefix`.

    `elsewhere` are top-level keys that the file may have and the model has not.
    """

    root: type[Section]
    prefix: str
    elsewhere: frozenset[str] = frozenset()

    def errors(self, error: ValidationError, raw: Mapping[str, Any]) -> list[ErrorLine]:
        """Return one line for each error in the file's content `raw`."""
        return [self._problem(detail, raw) for detail in error.errors() if not _follows_from_another(detail)]

    def _problem(self, detail: ErrorDetails, raw: Mapping[str, Any]) -> ErrorLine:
        place = self._place(detail["loc"], raw)
        if detail["type"] == "extra_forbidden":
            return ErrorLine(place.key, _unknown(str(detail["loc"][-1]), place, self._extra_keys(detail["loc"])))
        if detail["type"] == "missing":
            return ErrorLine(place.key, f"missing; {place.description}")
        if detail["type"].startswith("union_tag"):
            return _no_member(detail, place)
        words = IN_WORDS.get(detail["type"])
        rule = words.format_map(detail.get("ctx", {})) if words else detail["msg"].removeprefix("Input should be ")
        hint = f" ({place.description})" if place.description else ""
        return ErrorLine(place.key, f"given {format_value(place.given, place.key)}; allowed: {rule}{hint}")

    def _extra_keys(self, loc: tuple[int | str, ...]) -> frozenset[str]:
        return self.elsewhere if len(loc) == 1 else frozenset()

    def _place(self, loc: tuple[int | str, ...], raw: Mapping[str, Any]) -> "_Place":
        place = _Place(f"{self.prefix}:", raw, self.root, (self.root,), "")
        for step in loc:
            place = replace(place, given=loc[-2]) if step == KEY_ITSELF else place.into(step)
        return place


@dataclass(frozen=True)
class _Place:
    """A step of a walk along pydantic's location."""

    key: str  # as the file writes it
    given: Any  # what stands there
    section: type[Section]  # whose key it is
    inside: tuple[type[Section], ...]  # what the value may be, as far as it is a section
    description: str
    named: bool = False  # whether the next step is a name of the reader's own, as in a mapping of queues

    def into(self, step: int | str) -> "_Place":
        """Return the place one step further."""
        if isinstance(step, int):
            return _Place(f"{self.key}[{step}]", _at(self.given, step), self.section, self.inside, self.description)
        if len(self.inside) > 1 and not self.named:  # the chosen member of a union, which stands nowhere in the file
            member = next(member for member in self.inside if step in tags(member))
            return _Place(self.key, self.given, member, (member,), self.description)
        key = f"{self.key}{step}" if self.key.endswith(":") else below(self.key, step)
        if self.named:
            return _Place(key, _at(self.given, step), self.section, self.inside, self.description)
        section = self.inside[0] if self.inside else self.section
        field = _field(section, step)
        inside = tuple(_sections(field.annotation)) if field else ()
        named = field is not None and get_origin(field.annotation) is get_origin(Mapping[str, Any])
        description = (field.description if field else None) or ""
        return _Place(key, _at(self.given, step), section, inside, description, named)


def below(key: str, step: str) -> str:
    """Return the path of `step` below `key`, as Pulumi writes paths: `fleet:scaling["a.b"].minReplicas`."""
    return f"{key}.{step}" if PLAIN_STEP.fullmatch(step) else f"{key}[{json.dumps(step, ensure_ascii=False)}]"


def comma_separated(names: Iterable[str], prefix: str = "") -> str:
    """Return the sorted names, joined by commas, on one line."""
    return ", ".join(one_line(f"{prefix}:{name}" if prefix else name) for name in sorted(names))


def one_line(name: str) -> str:
    """Return a name of somebody's own for a message: as it is, unless it would break the line."""
    return name if name.isprintable() else repr(name)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a message if a known name is close, and an empty text otherwise."""
    close = get_close_matches(name, sorted(known), n=1)
    return f", did you mean {close[0]}?" if close else ""


def no_such_queue(name: str, queues: Iterable[str]) -> str:
    """Return what is wrong with a queue's name that stands nowhere in the catalogue, whose names are `queues`."""
    names = tuple(queues)
    return f"there is no such queue{suggestion(name, names)}; queues.py has {comma_separated(names)}"


def either_errors(key: str, **given: object) -> Iterator["ErrorLine"]:
    """Yield an error unless exactly one of two values is given; their names are those that the message says."""
    count = sum(value is not None for value in given.values())
    if count != 1:
        yield ErrorLine(key, f"give either {' or '.join(given)}, " + ("not both" if count else "one is needed"))


def format_value(value: Any, key: str = "") -> str:  # noqa: ANN401 any input
    """Return a value's `repr` for a message: shortened, and without what is, or may be, a password.

    Args:
        value: what was given.
        key: the key that it was given for, whose name may say that it is a secret.
    """
    text = PASSWORD_IN_URL.sub("***@", repr(_masked(value, MASKED_KEY.search(key) is not None)))
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 3] + "..."


def _masked(value: Any, secret: bool) -> Any:  # noqa: ANN401 any input
    """Return the value with stars for each secret in it, by the names of keys and of variables."""
    if isinstance(value, Mapping):
        named = _is_secret(value.get("name"))
        return {
            key: _masked(item, secret or _is_secret(key) or (named and key == "value")) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(item, secret) for item in value]
    return "***" if secret and value is not None else value


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and MASKED_KEY.search(name) is not None


def keys(section: type[Section]) -> frozenset[str]:
    """Return the keys of a section, as the file writes them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


def tags(section: type[Section]) -> frozenset[str]:
    """Return the tags of a union's member: the values of its fields that allow one text only."""
    return frozenset(
        values[0]
        for field in section.model_fields.values()
        if get_origin(field.annotation) is Literal and len(values := get_args(field.annotation)) == 1
    )


def _unknown(name: str, place: _Place, elsewhere: frozenset[str]) -> str:
    if name in place.section.refused:
        return place.section.refused[name]
    known = keys(place.section) | elsewhere
    return f"unknown key{suggestion(name, known)}; allowed here: {comma_separated(known)}"


def _no_member(detail: ErrorDetails, place: _Place) -> ErrorLine:
    discriminator = str(detail["ctx"]["discriminator"]).strip("'")
    value = place.given.get(discriminator) if isinstance(place.given, Mapping) else place.given
    what = "missing" if value is None else f"given {format_value(value)}"
    allowed = ", ".join(tag for member in place.inside for tag in tags(member))
    return ErrorLine(f"{place.key}.{discriminator}", f"{what}; allowed: {allowed}")


def _follows_from_another(detail: ErrorDetails) -> bool:
    """Return whether other errors explain this one: a list is too short when none of its items is valid."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _field(section: type[Section], alias: str) -> FieldInfo | None:
    return next((field for field in section.model_fields.values() if field.alias == alias), None)


def _sections(annotation: Any) -> Iterator[type[Section]]:  # noqa: ANN401 any annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _at(value: Any, step: int | str) -> Any:  # noqa: ANN401 any input
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return None
