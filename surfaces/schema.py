"""JSON Schema of a stack's file, for editors and for checks without the engine.

The models describe each section; what is around them is Pulumi's: `config`, keys with the project's prefix, secrets as
`{secure: …}`, keys of other projects and providers, and how the file's own encryption is set up.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from config.schema import BROKER_PASSWORD, GIT_TOKEN, NETRC, PREFIX, SECRET_KEYS, Settings
from config.volumes import DIRECTORIES
from queues import QUEUES

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
SECRETS: Final[Mapping[str, str]] = {
    BROKER_PASSWORD: "password of Redis, for stacks whose fleet:broker names no other source",
    NETRC: "a netrc file with the credentials of private package indexes, for the images' build",
    GIT_TOKEN: "a token that may read the repository of fleet:images.application",
}
ENGINE_KEYS: Final[Mapping[str, str]] = {
    "secretsprovider": "who encrypts the secrets of this file",
    "encryptedkey": "the data key, encrypted by the secrets provider",
    "encryptionsalt": "the salt of a passphrase",
}


def stack_schema() -> str:
    """Return the text of stack.schema.json."""
    return json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n"


def stack_file_schema() -> Schema:
    """Return the schema of a stack's file."""
    sections, models = section_schemas()
    secrets = {key: {**_reference("Secret"), "description": SECRETS[key]} for key in sorted(SECRET_KEYS)}
    properties = {f"{PREFIX}:{key}": value for key, value in {**sections, **secrets}.items()}
    required = [f"{PREFIX}:{key}" for key in required_sections()]
    return {
        "$schema": DRAFT,
        "$comment": "Generated from config/schema.py and queues.py by `make surfaces`; do not edit.",
        "title": "A stack of alphaswarm-fleet",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "description": "the stack's configuration",
                "properties": properties,
                "patternProperties": {f"^(?!{PREFIX}:)": {}},
                "additionalProperties": False,
                "required": required,
            },
            **{key: {"type": "string", "description": text} for key, text in ENGINE_KEYS.items()},
            "environment": {"description": "Pulumi ESC environments", "type": ["object", "array"]},
        },
        "additionalProperties": False,
        "required": ["config"],
        "$defs": {**models, "Secret": _secret()},
    }


def section_schemas() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schema of each section by its key without prefix, and of each model that they refer to."""
    model_schema: Schema = _without_titles(Settings.model_json_schema(by_alias=True, ref_template="#/$defs/{model}"))
    sections: dict[str, Schema] = model_schema["properties"]
    sections["scaling"]["propertyNames"] = {"enum": [queue.name for queue in QUEUES.queues]}
    model_schema["$defs"]["Pods"]["properties"]["queues"]["propertyNames"] = {
        "enum": [queue.name for queue in QUEUES.queues]
    }
    sections["volumes"]["propertyNames"] = {"enum": list(DIRECTORIES)}
    for section in sections.values():
        if section.get("type") == "boolean":  # `pulumi config set fleet:protect true` writes it in quotes
            section["anyOf"] = [{"type": section.pop("type")}, {"enum": ["true", "false"]}]
    return sections, model_schema["$defs"]


def required_sections() -> list[str]:
    """Return the keys that every stack has."""
    return [field.alias or name for name, field in Settings.model_fields.items() if field.is_required()]


def _without_titles(value: Any) -> Any:  # noqa: ANN401 any plain data
    """Drop the titles, which only repeat the keys."""
    if isinstance(value, dict):
        return {
            key: _without_titles(part) for key, part in value.items() if not (key == "title" and isinstance(part, str))
        }
    return [_without_titles(part) for part in value] if isinstance(value, list) else value


def _reference(model: str) -> Schema:
    return {"$ref": f"#/$defs/{model}"}


def _secret() -> Schema:
    """Return the schema of a secret; it refuses plain text, as the program does."""
    return {
        "description": "written by `pulumi config set --secret`",
        "type": "object",
        "properties": {"secure": {"type": "string", "description": "the encrypted value"}},
        "required": ["secure"],
        "additionalProperties": False,
    }
