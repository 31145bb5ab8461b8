"""docs/configuration.md: every key that a stack's file may have, in words, from the models that check it.

Read from the same JSON Schema that editors get, so that page, editor and program cannot say different things.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.application import FOLDER_OR_COMMIT
from config.schema import ACCOUNT, DIGEST_REFERENCE, DNS_LABEL, HOST, LABEL_VALUE, PREFIX, SECRET_KEYS
from surfaces.markdown import table
from surfaces.schema import SECRETS, Schema, required_sections, section_schemas

COLUMNS: Final = ("key", "value", "default", "meaning")
INTRODUCTION: Final = """\
<!-- Generated from config/schema.py and queues.py by `make surfaces`; do not edit. -->
# Configuration of a stack

One file a stack, `Pulumi.<stack>.yaml`, with all keys below `config:` and the prefix `fleet:`. A dotted key such as
`fleet:broker.host` is `host` inside the mapping `fleet:broker`. Keys that stand nowhere on this page are refused. All
errors of a file are reported at once, each with its key, what was given and what is allowed, and nothing is changed.
Editors check the file as you type against [`config/stack.schema.json`](../config/stack.schema.json): its first line
names that file.

Units: durations are whole seconds, replicas are pods. What each queue has without tuning is in [queues.md](queues.md).

"""
PATTERNS: Final[Mapping[str, str]] = {
    DNS_LABEL: "DNS label: lower case letters, digits, inner dashes, at most 63",
    HOST: "host name or address",
    LABEL_VALUE: "label value: letters, digits, inner `-`, `_`, `.`, at most 63",
    ACCOUNT: "12 digits in quotes",
    DIGEST_REFERENCE: "`repository@sha256:` and 64 hexadecimal digits",
    FOLDER_OR_COMMIT: "folder, or `https://host/repository.git#<commit>` with or without `:folder`",
}


def reference() -> str:
    """The text of configuration.md."""
    sections, models = section_schemas()
    needed = required_sections()
    parts = [INTRODUCTION, "## Sections\n\n", table(COLUMNS, _overview(sections, models, needed))]
    parts += [_section(key, schema, models) for key, schema in sections.items() if _members(schema, models)]
    return "".join(parts).rstrip("\n") + "\n"


def _overview(sections: Mapping[str, Schema], models: Mapping[str, Schema], needed: list[str]) -> Iterator[list[str]]:
    for key, schema in sections.items():
        name = f"`{PREFIX}:{key}`"
        value = f"[mapping](#fleet{key.lower()})" if _members(schema, models) else words(schema, models)
        yield [name, value, "required" if key in needed else _default(schema), schema.get("description", "")]
    for key in sorted(SECRET_KEYS):
        yield [f"`{PREFIX}:{key}`", f"secret: `pulumi config set --secret {PREFIX}:{key}`", "none", SECRETS[key]]


def _section(key: str, schema: Schema, models: Mapping[str, Schema]) -> str:
    """One section's keys; a section with several shapes gets one table each."""
    members = _members(schema, models)
    text = f"## {PREFIX}:{key}\n\n"
    for member in members:
        title = f"### {_chosen_by(member)}\n\n" if len(members) > 1 else ""
        rows = list(_rows(_prefix(key, schema), member, models))
        if "propertyNames" in schema:  # a tuning: what is not given stays as the catalogue has it
            rows = [[name, value, "the queue's own", meaning] for name, value, _, meaning in rows]
        text += title + f"{member['description']}\n\n" + table(COLUMNS, rows)
    return text


def _rows(prefix: str, model: Schema, models: Mapping[str, Schema]) -> Iterator[list[str]]:
    for key, field in model["properties"].items():
        default = "required" if key in model.get("required", []) else _default(field)
        yield [f"`{prefix}.{key}`", words(field, models), default, field.get("description", "")]
        for nested in _members(field, models):
            yield from _rows(f"{_prefix(f'{prefix}.{key}', field, whole=True)}", nested, models)


def _prefix(key: str, schema: Schema, *, whole: bool = False) -> str:
    """How a key inside a section is spelt: `[]` stands for an item of a list, `<queue>` for a queue's name."""
    path = key if whole else f"{PREFIX}:{key}"
    if schema.get("type") == "array":
        return f"{path}[]"
    return f"{path}.<queue>" if "propertyNames" in schema else path


def _members(schema: Schema, models: Mapping[str, Schema]) -> list[Schema]:
    """The models that a value may have: none for plain values, several for a choice."""
    if "$ref" in schema:
        return [models[schema["$ref"].rsplit("/", 1)[1]]]
    inner = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return [model for each in inner for model in _members(each, models)]


def _chosen_by(model: Schema) -> str:
    name, field = next((name, field) for name, field in model["properties"].items() if "const" in field)
    return f"{name}: {field['const']}"


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return "none" if schema.get("type") in ("array", "object") else "as below"
    value = schema["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return "none" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def words(schema: Schema, models: Mapping[str, Schema]) -> str:
    """What a value may be, for a reader."""
    if _members(schema, models):
        return "list of mappings" if schema.get("type") == "array" else "mapping"
    if "anyOf" in schema:
        return words(next(each for each in schema["anyOf"] if each.get("type") != "null"), models)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of: {words(schema['items'], models)}"
    if kind == "object":
        return "mapping of text to text"
    return {"boolean": "`true` or `false`", "string": _text(schema)}.get(str(kind)) or _number(schema)


def _text(schema: Schema) -> str:
    if "pattern" not in schema:
        return "text"
    pattern = schema["pattern"]
    return PATTERNS.get(pattern) or f"text like `{pattern}`"


def _number(schema: Schema) -> str:
    kind = "whole number" if schema.get("type") == "integer" else "number"
    least, most = (_bound(schema.get(key)) for key in ("minimum", "maximum"))
    if least and most:
        return f"{kind} from {least} to {most}"
    return f"{kind}, at least {least}" if least else kind


def _bound(value: Any) -> str:  # noqa: ANN401 a number or None
    return "" if value is None else str(value).removesuffix(".0")
