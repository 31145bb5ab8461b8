"""Two sets of Kubernetes objects, compared field by field, in words a reader can act on.

Order of objects and of keys means nothing; order of list items does, and so do types: `"1"`, `1` and `true` differ.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manifests import Manifest

ABSENT = object()


def compare(expected: Sequence[Manifest], actual: Sequence[Manifest]) -> list[str]:
    """Every difference, one line each: the object, the field's path and both values. Empty when they are the same."""
    wanted, found = _by_name(expected), _by_name(actual)
    lines = [f"{name}: stands {count} times among the expected" for name, count in _twice(expected)]
    lines += [f"{name}: stands {count} times" for name, count in _twice(actual)]
    lines += [f"{name}: missing" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"{name}: not expected" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        lines += [f"{name}: {line}" for line in _differences(wanted[name], found[name], "")]
    return lines


def identity(manifest: Mapping[str, Any]) -> str:
    """What tells an object from all others, as a reader says it."""
    metadata = manifest["metadata"]
    place = f" in {metadata['namespace']}" if "namespace" in metadata else ""
    return f"{manifest['apiVersion']} {manifest['kind']} {metadata['name']}{place}"


def _by_name(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    return {identity(manifest): manifest for manifest in manifests}


def _twice(manifests: Sequence[Manifest]) -> list[tuple[str, int]]:
    return sorted((name, count) for name, count in Counter(map(identity, manifests)).items() if count > 1)


def _differences(expected: Any, actual: Any, path: str) -> Iterator[str]:  # noqa: ANN401 any plain data
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in sorted({*expected, *actual}):
            yield from _differences(expected.get(key, ABSENT), actual.get(key, ABSENT), _under(path, key))
    elif _is_list(expected) and _is_list(actual):
        for index in range(max(len(expected), len(actual))):
            yield from _differences(
                _at(expected, index), _at(actual, index), f"{path}[{_label(expected, actual, index)}]"
            )
    elif not _same(expected, actual):
        yield f"{path}: expected {_shown(expected)}, got {_shown(actual)}"


def _same(expected: Any, actual: Any) -> bool:  # noqa: ANN401 any plain data
    """Numbers by value, since an engine may hand 1 over as 1.0; anything else by type too."""
    numbers = (int, float)
    if isinstance(expected, numbers) and isinstance(actual, numbers) and bool not in (type(expected), type(actual)):
        return expected == actual
    return type(expected) is type(actual) and bool(expected == actual)


def _is_list(value: Any) -> bool:  # noqa: ANN401 any plain data
    return isinstance(value, Sequence) and not isinstance(value, str)


def _at(values: Sequence[Any], index: int) -> Any:  # noqa: ANN401 any plain data
    return values[index] if index < len(values) else ABSENT


def _label(expected: Sequence[Any], actual: Sequence[Any], index: int) -> str:
    """`2 METRICS_PORT` rather than `2`, where both sides mean the same item."""
    names = [
        item.get("name") if isinstance(item, Mapping) else None for item in (_at(expected, index), _at(actual, index))
    ]
    return f"{index} {names[0]}" if names[0] is not None and names[0] == names[1] else str(index)


def _under(path: str, key: str) -> str:
    step = f"[{key!r}]" if "." in key or "/" in key else f".{key}"
    return path + step if path else step.removeprefix(".")


def _shown(value: Any) -> str:  # noqa: ANN401 any plain data
    if value is ABSENT:
        return "nothing"
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 160 else text[:157] + "..."
