"""A Compose file as Docker reads it: variables at their defaults, `$$` as `$`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PATHS = ("deploy/compose.yaml", "deploy/compose.legacy.yaml")
INTERPOLATED = re.compile(r"\$(\$|\{(\w+):-([^}]*)\})")


def compose(path: str) -> dict[str, Any]:
    """The file's model."""
    found: dict[str, Any] = interpolated(yaml.safe_load((ROOT / path).read_text()))
    return found


def interpolated(value: Any) -> Any:  # noqa: ANN401 any YAML
    if isinstance(value, Mapping):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if isinstance(value, str):
        assert "$" not in INTERPOLATED.sub("", value), f"Docker Compose refuses {value!r}"
        return INTERPOLATED.sub(lambda found: "$" if found[1] == "$" else found[3], value)
    return value


def workers(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The services that drain queues, by name."""
    return ((name, one) for name, one in compose(path)["services"].items() if one["command"] == ["worker"])
