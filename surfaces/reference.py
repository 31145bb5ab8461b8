"""docs/configuration.md: every key that a stack's file may have, described from the models that validate it.

Read from the same JSON Schema that editors get, so that page, editor and program cannot say different things.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.application import FOLDER_OR_COMMIT
from config.broker import HOST
from config.kubernetes_rules import POD_FIELD
from config.pods import CPU, DATA_KEY, ENV_PREFIX, LABEL_NAME, LABEL_TEXT, OBJECT_NAME, SIZE
from config.schema import ACCOUNT, DIGEST_REFERENCE, DNS_LABEL, EXTENDED_RESOURCE, LABEL_VALUE, PREFIX, SECRET_KEYS
from config.volumes import SUB_PATH
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
    OBJECT_NAME: "an object's name",
    LABEL_NAME: "a label's name, with a domain or without",
    LABEL_TEXT: "a label's value",
    POD_FIELD: "`status.hostIP`, `metadata.uid` or another field of the downward API",
    EXTENDED_RESOURCE: "domain and name: `nvidia.com/gpu`",
    SUB_PATH: "relative path",
    DATA_KEY: "key: letters, digits, `-`, `_`, `.`",
    ENV_PREFIX: "beginning of a variable's name",
    CPU: "processors: `500m`, `4`",
    SIZE: "size: `512Mi`, `2Gi`",
    DIGEST_REFERENCE: "`repository@sha256:` and 64 hexadecimal digits",
    FOLDER_OR_COMMIT: "folder, or `https://host/repository.git#<commit>` with or without `:folder`",
}


def configuration_reference() -> str:
    """Return the text of configuration.md."""
    sections, models = section_schemas()
    required = required_sections()
    parts = [INTRODUCTION, "## Sections\n\n", table(COLUMNS, _overview(sections, models, required))]
    parts += [_section(key, schema, models) for key, schema in sections.items() if _referenced_models(schema, models)]
    return "".join(parts).rstrip("\n") + "\n"


def _overview(sections: Mapping[str, Schema], models: Mapping[str, Schema], required: list[str]) -> Iterator[list[str]]:
    for key, schema in sections.items():
        name = f"`{PREFIX}:{key}`"
        value = (
            f"[mapping](#fleet{key.lower()})" if _referenced_models(schema, models) else describe_type(schema, models)
        )
        yield [name, value, "required" if key in required else _default(schema), schema.get("description", "")]
    for key in sorted(SECRET_KEYS):
        yield [f"`{PREFIX}:{key}`", f"secret: `pulumi config set --secret {PREFIX}:{key}`", "none", SECRETS[key]]


def _section(key: str, schema: Schema, models: Mapping[str, Schema]) -> str:
    """Return one section's keys; a section that is a union gets one table for each member."""
    members = _referenced_models(schema, models)
    text = f"## {PREFIX}:{key}\n\n"
    for member in members:
        title = f"### {_discriminator(member)}\n\n" if len(members) > 1 else ""
        rows = list(_key_rows(_key_path(f"{PREFIX}:{key}", schema), member, models))
        if key == "scaling":  # what is not set stays as the catalogue has it
            rows = [[name, value, "the queue's own", meaning] for name, value, _, meaning in rows]
        text += title + f"{member['description']}\n\n" + table(COLUMNS, rows)
    return text


def _key_rows(
    prefix: str, model: Schema, models: Mapping[str, Schema], described: dict[int, str] | None = None
) -> Iterator[list[str]]:
    """Yield a row for each key. Keys that stand in several places are described at the first of them."""
    known: dict[int, str] = {} if described is None else described
    for key, field in model["properties"].items():
        path = f"{prefix}.{key}"
        default = "required" if key in model.get("required", []) else _default(field)
        inside, nested = _key_path(path, field), _referenced_models(field, models)
        again = [known[id(one)] for one in nested if id(one) in known]
        meaning = field.get("description", "") + "".join(f"; with the keys of `{place}`" for place in again)
        yield [f"`{path}`", describe_type(field, models), default, meaning]
        new = [one for one in nested if id(one) not in known]
        known |= {id(one): inside for one in new}
        for one in new:
            yield from _key_rows(inside, one, models, known)


def _key_path(path: str, schema: Schema) -> str:
    """Return the prefix of the keys below `path`: `[]` is an item of a list, `<…>` a name of the reader's own."""
    if schema.get("type") == "array":
        return f"{path}[]"
    if "propertyNames" in schema:
        return f"{path}.<{'directory' if path.endswith('volumes') else 'queue'}>"
    named = isinstance(schema.get("additionalProperties"), dict) or "patternProperties" in schema
    return f"{path}.<name>" if named else path


def _referenced_models(schema: Schema, models: Mapping[str, Schema]) -> list[Schema]:
    """Return the models that a value may have: none for plain values, several for a union."""
    if "$ref" in schema:
        return [models[schema["$ref"].rsplit("/", 1)[1]]]
    inner = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("patternProperties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return [model for part in inner for model in _referenced_models(part, models)]


def _discriminator(model: Schema) -> str:
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


def describe_type(schema: Schema, models: Mapping[str, Schema]) -> str:
    """Describe the values that a schema allows."""
    if _referenced_models(schema, models):
        return "list of mappings" if schema.get("type") == "array" else "mapping"
    if "anyOf" in schema:
        return describe_type(next(part for part in schema["anyOf"] if part.get("type") != "null"), models)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{part}`" for part in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of: {describe_type(schema['items'], models)}"
    if kind == "object":
        return (
            "mapping, as Kubernetes has it" if schema.get("additionalProperties") is True else "mapping of text to text"
        )
    return {"boolean": "`true` or `false`", "string": _text(schema)}.get(str(kind)) or _number(schema)


def _text(schema: Schema) -> str:
    if "pattern" not in schema:
        return "text"
    pattern = schema["pattern"]
    return PATTERNS.get(pattern) or f"text like `{pattern}`"


def _number(schema: Schema) -> str:
    kind = "whole number" if schema.get("type") == "integer" else "number"
    minimum, maximum = (_bound(schema.get(key)) for key in ("minimum", "maximum"))
    if minimum and maximum:
        return f"{kind} from {minimum} to {maximum}"
    return f"{kind}, at least {minimum}" if minimum else kind


def _bound(value: Any) -> str:  # noqa: ANN401 a number or None
    return "" if value is None else str(value).removesuffix(".0")
