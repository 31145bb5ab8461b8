"""Readings of plain Kubernetes objects that nobody has checked yet: what has the wrong type counts as absent."""

from collections.abc import Mapping, Sequence
from typing import Any


def mapping_at(given: Any, key: str) -> Mapping[str, Any]:  # noqa: ANN401 any input
    """Return the mapping at a key; an empty one where there is none."""
    found = given.get(key) if isinstance(given, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def list_at(given: Any, key: str) -> Sequence[Any]:  # noqa: ANN401 any input
    """Return the list at a key; an empty one where there is none."""
    found = given.get(key) if isinstance(given, Mapping) else None
    return found if isinstance(found, list | tuple) else ()


def is_in_memory(volume: Mapping[str, Any]) -> bool:
    """Return whether a volume is an emptyDir in its pod's memory."""
    return bool(mapping_at(volume, "emptyDir").get("medium") == "Memory")
