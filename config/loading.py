"""From a stack's configuration to Settings: parsed, validated, and all errors reported at once.

The only module that knows how the engine passes configuration to a program.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from config.advice import advice
from config.errors import ErrorLine, ErrorReader, SettingsError, comma_separated
from config.pods import BeatOptions, PlainObject, PodOptions, Pods, ResourceTuning, WorkerOptions
from config.rules import RULES, Rule, application_folder_rule
from config.schema import BROKER_PASSWORD, GIT_TOKEN, NETRC, PREFIX, SECRET_KEYS, QueueTuning, Settings
from config.secrets import Secrets
from config.volumes import Volume

NOT_PLAIN: Final = "is a secret and stands here as plain text; set it with --secret, and treat the old value as known"
READER: Final = ErrorReader(Settings, PREFIX, SECRET_KEYS)


def parse(
    raw: Mapping[str, Any],
    secrets: frozenset[str] = frozenset(),
    rules: tuple[Rule, ...] = RULES,
    file: str | None = None,
) -> Settings:
    """Validate a stack's configuration.

    Args:
        raw: the configuration by key without its prefix.
        secrets: the names of the secrets that are set.
        rules: the checks across sections.
        file: the name of the stack's file, for the message.

    Raises:
        SettingsError: it is invalid; every error is named.
    """
    errors = [ErrorLine(f"{PREFIX}:{key}", NOT_PLAIN) for key in sorted(SECRET_KEYS & raw.keys())]
    plain = {key: value for key, value in raw.items() if key not in SECRET_KEYS}
    for key in sorted(secrets - SECRET_KEYS):
        errors.append(
            ErrorLine(
                f"{PREFIX}:{key}", f"is stored as a secret; only these are: {comma_separated(SECRET_KEYS, PREFIX)}"
            )
        )
        plain.pop(key, None)
    settings, sections = None, {}
    try:
        settings = Settings.model_validate(plain)
        sections = dict(settings)
    except ValidationError as error:
        errors += READER.errors(error, plain)
        sections = _readable(plain, {str(detail["loc"][0]) for detail in error.errors()})
    known = {error.key for error in errors}
    errors += [found for rule in rules for found in rule(sections, secrets) if found.key not in known]
    if errors or settings is None:
        lines = "\n".join(f"  {error}" for error in sorted(set(errors), key=str))
        count = f"{len(set(errors))} error" + ("s" if len(set(errors)) > 1 else "")
        where = f", {file}," if file else ""
        raise SettingsError(f"The stack's configuration{where} has {count}; nothing was changed.\n{lines}")
    return settings


def from_stack_file(file: Path, secrets_elsewhere: frozenset[str] = frozenset()) -> Settings:
    """Read a stack's file without the engine.

    Args:
        file: the stack's file.
        secrets_elsewhere: the names of the secrets that are added to a copy of the file later.

    Raises:
        SettingsError: the file is invalid, missing or not YAML.
    """
    try:
        document = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        known = sorted(other.name for other in file.parent.glob("Pulumi.*.yaml"))
        raise SettingsError(f"There is no {file.name}; the stacks here are: {', '.join(known)}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{file.name} is not YAML: {' '.join(str(error).split())}") from None
    config = (document or {}).get("config") if isinstance(document or {}, dict) else None
    if not isinstance(config, dict):
        raise SettingsError(f"{file.name} needs a mapping named `config` with keys such as {PREFIX}:environment.")
    own = {
        key.partition(":")[2]: json.loads(json.dumps(value, default=str))  # as the engine hands it over: keys are text
        for key, value in config.items()
        if str(key).startswith(f"{PREFIX}:")
    }
    secrets = frozenset(key for key, value in own.items() if isinstance(value, dict) and set(value) == {"secure"})
    plain = {key: value for key, value in own.items() if key not in secrets}
    return parse(plain, secrets | secrets_elsewhere, file=file.name)


def load() -> tuple[Settings, Secrets]:
    """Return the running stack's settings and secrets, and check the application that it builds.

    Raises:
        pulumi.RunError: the configuration is invalid; the engine shows the message without a traceback.
    """
    import pulumi
    from pulumi.runtime import config as engine

    config = pulumi.Config(PREFIX)
    every = {**engine.get_config_env(), **engine.CONFIG.get()}
    own = {key.partition(":")[2]: value for key, value in every.items() if key.startswith(f"{PREFIX}:")}
    secrets = frozenset(name for name in own if engine.is_config_secret(f"{PREFIX}:{name}"))
    warnings: list[str] = []
    try:
        plain = {name: _decoded(text) for name, text in own.items() if name not in secrets}
        settings = parse(plain, secrets, (*RULES, application_folder_rule(warnings)), _stack_file(pulumi.get_stack()))
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    for warning in (*warnings, *advice(settings)):
        pulumi.log.warn(warning)
    return settings, Secrets(*(config.get_secret(key) for key in (BROKER_PASSWORD, NETRC, GIT_TOKEN)))


def _stack_file(stack: str) -> str | None:
    """Return the name of the stack's file; None if the default one does not exist, since the engine reports none."""
    name = f"Pulumi.{stack}.yaml"
    return name if Path(name).is_file() else None


def _decoded(text: Any) -> Any:  # noqa: ANN401 the engine hands over text, a test may hand over data
    """Decode a value: the engine passes lists and mappings as JSON text, and everything else as in the file."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:  # no JSON, or a number of more digits than Python reads
            return text
    return text


MOUNTING: Final = frozenset({"volumeMounts", "initContainers", "sidecars"})
# What fits into the memory limit, which cannot be told from resources that cannot be read.
IN_MEMORY: Final = frozenset({"resources", "sharedMemory", "maxMemoryPerChild"})


def _readable(raw: Mapping[str, Any], wrong: set[str]) -> dict[str, Any]:
    """Return the sections without an error of their own, by field name; `scaling` entry by entry."""
    sections: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        key = field.alias or name
        if key == "scaling" and isinstance(raw.get(key), Mapping):
            read = {str(queue): _valid(QueueTuning, given) for queue, given in raw[key].items()}
            sections[name] = {queue: tuning for queue, tuning in read.items() if tuning is not None}
        elif key == "volumes" and isinstance(raw.get(key), Mapping):
            behind = {str(path): _valid(Volume, given) for path, given in raw[key].items()}
            sections[name] = {path: volume for path, volume in behind.items() if volume is not None}
        elif key == "pods" and isinstance(raw.get(key), Mapping):
            sections[name] = _readable_pods(raw[key])
        elif key in raw and key not in wrong:
            sections[name] = _valid(field.annotation, raw[key])
        elif key not in raw and not field.is_required():
            sections[name] = field.get_default(call_default_factory=True)
    return sections


def _readable_pods(raw: Mapping[str, Any]) -> Pods:
    """Return the options by the keys without an error of their own, by whose pods they are for."""
    queues = raw.get("queues")
    given = {name: raw[name] for name in ("all", "worker", "executor", "beat") if name in raw}
    of_queues = {str(name): options for name, options in queues.items()} if isinstance(queues, Mapping) else {}
    everyones = (*given.values(), *of_queues.values())
    # What is mounted cannot be told from volumes that cannot be read.
    without = frozenset() if all(map(_has_readable_volumes, everyones)) else MOUNTING
    without |= frozenset() if all(map(_has_readable_resources, everyones)) else IN_MEMORY

    found: dict[str, Any] = {
        name: _valid_options(BeatOptions if name == "beat" else WorkerOptions, options, without)
        for name, options in given.items()
    }
    queues_found = {name: _valid_options(WorkerOptions, options, without) for name, options in of_queues.items()}
    found["queues"] = {name: options for name, options in queues_found.items() if options is not None}
    return Pods.model_validate({}).model_copy(update={name: one for name, one in found.items() if one is not None})


def _has_readable_volumes(options: object) -> bool:
    given = options.get("volumes", ()) if isinstance(options, Mapping) else ()
    return _valid(tuple[PlainObject, ...], given) is not None


def _has_readable_resources(options: object) -> bool:
    given = options.get("resources", {}) if isinstance(options, Mapping) else {}
    return _valid(ResourceTuning, given) is not None


def _valid_options(model: type[PodOptions], given: object, without: frozenset[str]) -> PodOptions | None:
    if not isinstance(given, Mapping):
        return None
    kept = {key: value for key, value in given.items() if str(key) not in without}
    try:
        return model.model_validate(kept)
    except ValidationError as error:
        wrong = frozenset(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
    return _valid_options(model, kept, wrong | without) if wrong & set(map(str, kept)) else None


def _valid(annotation: Any, given: Any) -> Any:  # noqa: ANN401 any annotation, any input
    try:
        return TypeAdapter(annotation).validate_python(given)
    except ValidationError:
        return None
