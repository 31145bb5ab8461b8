"""Which fields Kubernetes has in an object of a stack's file, at any depth: as the provider's typed arguments say.

The API server drops a field that it does not know, or refuses the whole Deployment in the middle of an update.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, Final, ForwardRef, get_args, get_origin

from config.errors import ErrorLine, below, comma_separated, format_value, suggestion
from config.kubernetes_values import value_errors

SCALARS: Final[Mapping[object, str]] = {
    str: "text, in quotes",
    int: "a whole number",
    bool: "true or false",
    float: "a number",
}
QUANTITIES: Final = frozenset({"requests", "limits"})  # numbers are quantities too


def field_errors(key: str, kind: str, given: object) -> Iterator[ErrorLine]:
    """Yield an error for each field that Kubernetes does not have, that is missing, or that has another form.

    Args:
        key: the object's key in the stack's file.
        kind: the object's type in Kubernetes' core API, such as `Container`.
        given: the object.
    """
    # It takes most of a second, and few stacks write such objects.
    import pulumi_kubernetes.core.v1
    import pulumi_kubernetes.meta.v1

    yield from _object_errors(key, getattr(pulumi_kubernetes.core.v1, f"{kind}Args"), given)


def without_nulls(given: Any) -> Any:  # noqa: ANN401 any input
    """Return the input without fields that are null, which Kubernetes takes for absent."""
    if isinstance(given, Mapping):
        return {name: without_nulls(value) for name, value in given.items() if value is not None}
    if isinstance(given, list | tuple):
        return [without_nulls(value) for value in given]
    return given


def _object_errors(key: str, arguments: type, given: object) -> Iterator[ErrorLine]:
    if not isinstance(given, Mapping):
        yield ErrorLine(key, f"given {format_value(given, key)}; allowed: a mapping")
        return
    known = _fields(arguments)
    for field in sorted(map(str, given.keys() - known.keys())):
        yield ErrorLine(
            below(key, field),
            f"Kubernetes has no such field{suggestion(field, known)}; it has {comma_separated(known)}",
        )
    for field in sorted(_required(arguments) - given.keys()):
        yield ErrorLine(below(key, field), "missing; Kubernetes wants it")
    for field in known.keys() & given.keys():
        yield from _value_errors(below(key, field), known[field], arguments, given[field])
    yield from value_errors(key, arguments.__name__.removesuffix("Args"), given)


def _value_errors(key: str, annotation: object, owner: type, given: object) -> Iterator[ErrorLine]:
    """Yield what is wrong with a value by its type, which is a union of what it is and of promises of that."""
    kinds = get_args(annotation) if get_origin(annotation) not in (Sequence, Mapping) else (annotation,)
    scalars = [kind for kind in kinds if kind in SCALARS]
    if scalars and not any(_is_a(kind, given) for kind in scalars):
        yield ErrorLine(
            key, f"given {format_value(given, key)}; allowed: {' or '.join(SCALARS[kind] for kind in scalars)}"
        )
    for kind in kinds:
        if isinstance(kind, ForwardRef) and (arguments := _arguments(kind, owner)):
            yield from _object_errors(key, arguments, given)
        elif get_origin(kind) is Sequence:
            if not isinstance(given, list | tuple):
                yield ErrorLine(key, f"given {format_value(given, key)}; allowed: a list")
                continue
            for index, item in enumerate(given):
                yield from _value_errors(f"{key}[{index}]", get_args(kind)[0], owner, item)
        elif get_origin(kind) is Mapping:
            yield from _mapping_errors(key, get_args(kind)[1], owner, given)


def _mapping_errors(key: str, annotation: object, owner: type, given: object) -> Iterator[ErrorLine]:
    if not isinstance(given, Mapping):
        yield ErrorLine(key, f"given {format_value(given, key)}; allowed: a mapping")
    elif key.rpartition(".")[2] not in QUANTITIES:
        for name, value in given.items():
            yield from _value_errors(below(key, str(name)), annotation, owner, value)


def _is_a(kind: object, given: object) -> bool:
    """Return whether a value is of a plain type; a boolean is no number, as it is for Python."""
    if kind is float:
        return isinstance(given, int | float) and not isinstance(given, bool)
    return type(given) is kind


def _arguments(reference: ForwardRef, owner: type) -> type | None:
    """Return the class that a type names: in its own module, or, as `_meta.v1.…`, in another one of the package."""
    path, _, name = reference.__forward_arg__.rpartition(".")
    module = f"pulumi_kubernetes.{path.removeprefix('_')}" if path else owner.__module__
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and name.endswith("Args") else None


@cache
def _fields(arguments: type) -> Mapping[str, object]:
    """Return the fields of a type in Kubernetes' spelling, with the type of each."""
    members = vars(arguments)
    return {
        spelling: members[name].fget.__annotations__.get("return") for name, spelling in _spellings(arguments).items()
    }


@cache
def _required(arguments: type) -> frozenset[str]:
    """Return the fields without which Kubernetes refuses the object."""
    spellings, parameters = _spellings(arguments), signature(arguments).parameters.values()
    return frozenset(
        spellings[one.name] for one in parameters if one.default is Parameter.empty and one.name in spellings
    )


def _spellings(arguments: type) -> Mapping[str, str]:
    """Return Kubernetes' spelling of each field by Python's."""
    return {
        name: getattr(member.fget, "_pulumi_name", name)
        for name, member in vars(arguments).items()
        if isinstance(member, property)
    }
