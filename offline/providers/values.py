"""Property values: from the engine's gRPC encoding to plain Python values and back.

Three things in the encoding are no data: unknown values (each a fixed string), secrets (an object with a signature
key), and numbers (always floating point). A secret is decoded to its plain value; its path *and* its text are kept,
so that it is a secret again wherever the provider returns it. A server that reorders a list must not put it into the
state in the clear.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (the engine's public mark for a secret, not one)

Json = Any  # whatever JSON can hold: a property's type is known to the server alone
Path = tuple[str | int, ...]
Object = dict[str, Any]


@dataclass(frozen=True)
class Secrets:
    """The paths of secrets, and the texts in them."""

    paths: frozenset[Path] = frozenset()
    texts: frozenset[str] = frozenset()

    def __or__(self, other: "Secrets") -> "Secrets":
        return Secrets(self.paths | other.paths, self.texts | other.texts)

    def __bool__(self) -> bool:
        return bool(self.paths)


@dataclass
class _SecretsFound:
    paths: set[Path] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)


def decode(struct: Struct) -> tuple[Object, Secrets]:
    """Return the plain object, and the secrets in it."""
    found = _SecretsFound()
    plain = {key: _decode(value, (key,), found) for key, value in struct.fields.items()}
    return plain, Secrets(frozenset(found.paths), frozenset(found.texts))


def encode(plain: Mapping[str, Any], secrets: Secrets | None = None) -> Struct:
    """Encode a plain object, with `secrets` marked as such."""
    struct = Struct()
    for key, value in plain.items():
        _encode(struct.fields[key], value, (key,), secrets or Secrets())
    return struct


def is_unknown(value: object) -> bool:
    """Tell whether this value is unknown until the update."""
    return isinstance(value, str) and value in UNKNOWNS


def has_unknown(value: object) -> bool:
    """Tell whether the value or anything in it is unknown until the update."""
    if isinstance(value, Mapping):
        return any(has_unknown(part) for part in value.values())
    if isinstance(value, list):
        return any(has_unknown(part) for part in value)
    return is_unknown(value)


def at(value: object, path: Path) -> Json:
    """Return the value at a path; None where there is none."""
    for key in path:
        if isinstance(value, list) and isinstance(key, int):
            value = value[key] if key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _decode(value: Value, path: Path, found: _SecretsFound) -> Json:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
            plain = _decode(fields["value"], path, found)
            found.paths.add(path)
            found.texts.update(_texts(plain))
            return plain
        return {key: _decode(part, (*path, key), found) for key, part in fields.items()}
    if kind == "list_value":
        return [_decode(part, (*path, i), found) for i, part in enumerate(value.list_value.values)]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return value.string_value
    return value.bool_value if kind == "bool_value" else None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str) and value and not is_unknown(value):
        yield value


def _encode(into: Value, value: Json, path: Path, secrets: Secrets) -> None:
    if secrets and (path in secrets.paths or (isinstance(value, str) and value in secrets.texts)):
        wrapper = into.struct_value.fields
        wrapper[SIGNATURE].string_value = SECRET
        into, secrets = wrapper["value"], Secrets()
    if isinstance(value, str):
        into.string_value = value
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    elif isinstance(value, Mapping):
        into.struct_value.SetInParent()
        for key, part in value.items():
            _encode(into.struct_value.fields[key], part, (*path, key), secrets)
    elif isinstance(value, Sequence):
        into.list_value.SetInParent()
        for i, part in enumerate(value):
            _encode(into.list_value.values.add(), part, (*path, i), secrets)
    else:
        into.null_value = 0  # type: ignore[assignment]
