"""The stand-in for `pulumi-resource-aws`: the few resource types that this fleet uses, by boto3.

A preview calls nothing; computed properties are unknown in it. Diff compares inputs with inputs. A refresh first
replaces the inputs that are set by the account's values, so drift shows as a change of inputs.
"""

import hashlib
import json
import sys
from collections.abc import Sequence

from offline.providers.aws_client import AwsClient, NotFoundError
from offline.providers.aws_functions import FUNCTIONS, SECRET_OUTPUTS
from offline.providers.aws_resources import RESOURCE_TYPES, ResourceType
from offline.providers.diff import Diff, diff_of, property_diffs
from offline.providers.plugin import CheckFailure, Engine, ProviderError, ReadResult, Resource, serve
from offline.providers.values import UNKNOWN, Object, Path, Secrets, has_unknown, is_unknown

VERSION = "7.51.1"


class Aws:
    """The configured provider."""

    name = "aws"
    version = VERSION

    def __init__(self) -> None:
        self._client = AwsClient({})

    def configure(self, config: Object, engine: Engine) -> None:
        """Keep the provider's configuration."""
        self._client = AwsClient(config)
        where = ", ".join(sorted(set(self._client.endpoints.values()))) or "no endpoint"
        engine.info(f"stand-in AWS plugin: speaks to {where}; not a released provider")

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[CheckFailure]]:
        """Autoname, merge the tags, and return what is missing or wrong."""
        resource_type = RESOURCE_TYPES.get(resource.type)
        if resource_type is None:
            known = ", ".join(sorted(RESOURCE_TYPES))
            return new, [CheckFailure("", f"the stand-in AWS plugin does not serve {resource.type}; it serves {known}")]
        failures = [
            CheckFailure(key, f"{resource.name} needs {key}")
            for key in resource_type.required
            if new.get(key) in (None, "")
        ]
        failures += [
            CheckFailure(key, f"{resource.name}: the stand-in AWS plugin does not serve {key}")
            for key in resource_type.unsupported
            if key in new
        ]
        checked = {key: value for key, value in new.items() if value is not None}
        for key in resource_type.json_documents:
            checked |= {key: _as_json_text(checked[key])} if key in checked else {}
        failures += [
            CheckFailure(key, f"{resource.name}: {key} is not JSON")
            for key in resource_type.json_documents
            if key in checked and not is_unknown(checked[key]) and _parsed_json(checked[key]) is None
        ]
        return self._with_defaults(resource_type, resource, old, checked), failures

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Diff:
        """Compare inputs with inputs, JSON documents as values."""
        del state
        resource_type = self._resource_type(resource)
        changes = tuple(
            change
            for change in property_diffs(old, new)
            if not (
                change.path[0] in resource_type.json_documents
                and (parsed := _parsed_json(old.get(str(change.path[0])))) is not None
                and parsed == _parsed_json(new.get(str(change.path[0])))
            )
        )

        def replaces(path: Path) -> bool:
            return path[0] in resource_type.forces_new

        has_name = bool(resource_type.autonamed_property or resource_type.id_property)
        keeps_name = has_name and old.get("name") == new.get("name")
        return diff_of(changes, replaces, delete_before_replace=keeps_name)

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Create the resource."""
        resource_type = self._resource_type(resource)
        if preview:
            return "", {
                **inputs,
                **self._region(resource_type, inputs),
                **dict.fromkeys(resource_type.computed, UNKNOWN),
            }
        try:
            ident = resource_type.create(self._client, inputs)
        except NotFoundError as error:
            raise ProviderError(f"{resource.name}: what it needs does not exist: {error}") from None
        return ident, self._outputs(resource_type, ident, inputs)

    def read(self, resource: Resource, inputs: Object, state: Object) -> ReadResult | None:
        """Read the resource from the account."""
        resource_type = self._resource_type(resource)
        try:
            live = resource_type.read(self._client, resource.id, inputs or state)
        except NotFoundError:
            return None
        if inputs:
            found = {key: _as_written(key, value, live, resource_type) for key, value in inputs.items()}
        else:
            found = {key: value for key, value in live.items() if key not in resource_type.computed}
        if resource_type.tagged:
            defaults = self._client.default_tags
            own = {key: tag for key, tag in live["tagsAll"].items() if defaults.get(key) != tag}
            wanted = inputs.get("tags") or {}
            own |= {key: tag for key, tag in live["tagsAll"].items() if key in wanted}
            if own or "tags" in inputs:
                found["tags"] = own
        region = self._region(resource_type, found)
        return ReadResult(
            resource.id,
            found,
            {**_state_only(inputs, live), **found, **live, **_documents_as_written(found, resource_type), **region},
        )

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Change the resource in place."""
        resource_type = self._resource_type(resource)
        if preview:
            return {**state, **new}
        try:
            resource_type.update(self._client, resource.id, old, new)
        except NotFoundError:
            raise ProviderError(f"{resource.id} is gone. Run `pulumi refresh`, then `pulumi up`.") from None
        return self._outputs(resource_type, resource.id, new)

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Delete the resource."""
        try:
            self._resource_type(resource).delete(self._client, resource.id, inputs or state)
        except NotFoundError:
            return

    def invoke(self, token: str, args: Object) -> Object:
        """Call a function."""
        function = FUNCTIONS.get(token)
        if function is None:
            raise ProviderError(f"The stand-in AWS plugin has no function {token}; it has {', '.join(FUNCTIONS)}.")
        return function(self._client, args)

    def always_secret(self, token: str) -> Secrets:
        """Return the secret properties: tokens."""
        return Secrets(frozenset((key,) for key in SECRET_OUTPUTS.get(token, ())))

    def cancel(self) -> None:
        """Do nothing: calls are short, and have timeouts."""

    def _resource_type(self, resource: Resource) -> ResourceType:
        resource_type = RESOURCE_TYPES.get(resource.type)
        if resource_type is None:
            raise ProviderError(f"The stand-in AWS plugin does not serve {resource.type}.")
        return resource_type

    def _with_defaults(self, resource_type: ResourceType, resource: Resource, old: Object, new: Object) -> Object:
        completed = dict(new)
        if resource_type.autonamed_property and not new.get(resource_type.autonamed_property):
            kept = old.get(resource_type.autonamed_property) if old.get("namePrefix") == new.get("namePrefix") else None
            prefix = new.get("namePrefix") or f"{resource.name}-"
            made = prefix if is_unknown(prefix) else f"{prefix}{_suffix(resource.random_seed)}"
            completed[resource_type.autonamed_property] = kept or made
        if resource_type.tagged:
            tags = new.get("tags") or {}
            completed["tagsAll"] = UNKNOWN if is_unknown(tags) else {**self._client.default_tags, **tags}
        return completed

    def _outputs(self, resource_type: ResourceType, ident: str, inputs: Object) -> Object:
        live = resource_type.read(self._client, ident, inputs)
        return {
            **live,
            **_documents_as_written(inputs, resource_type),
            **self._region(resource_type, inputs),
            **_state_only(inputs, live),
        }

    def _region(self, resource_type: ResourceType, inputs: Object) -> Object:
        return {"region": inputs.get("region") or self._client.region} if resource_type.regional else {}


def _state_only(inputs: Object, live: Object) -> Object:
    """Return the inputs that the account does not keep, such as forceDelete: they are in the state alone."""
    return {key: value for key, value in inputs.items() if key not in live}


def _documents_as_written(inputs: Object, resource_type: ResourceType) -> Object:
    """Return the JSON documents as the program wrote them."""
    return {key: inputs[key] for key in resource_type.json_documents if key in inputs}


def _as_written(key: str, value: object, live: Object, resource_type: ResourceType) -> object:
    if key not in live:
        return value
    if key in resource_type.json_documents and _parsed_json(value) == _parsed_json(live[key]):
        return value
    if isinstance(value, list) and isinstance(live[key], list) and len(value) == len(live[key]):
        return [_only_set(mine, theirs) for mine, theirs in zip(value, live[key], strict=True)]
    return _only_set(value, live[key]) if key != "tagsAll" else live[key]


def _only_set(mine: object, theirs: object) -> object:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return {key: theirs[key] for key in mine if key in theirs}
    return theirs


def _as_json_text(value: object) -> object:
    """Convert a JSON document that is given as an object: the API wants a string."""
    if isinstance(value, dict | list):
        return UNKNOWN if has_unknown(value) else json.dumps(value)
    return value


def _parsed_json(text: object) -> object:
    """Parse a JSON document; None when it is none, or unknown."""
    if not isinstance(text, str) or is_unknown(text):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _suffix(random_seed: bytes) -> str:
    return hashlib.sha256(random_seed).hexdigest()[:7]


def main() -> None:
    """Serve until the engine ends this process."""
    serve(Aws(), sys.argv[1:])


if __name__ == "__main__":
    main()
