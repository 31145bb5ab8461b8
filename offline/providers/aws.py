"""The stand-in for `pulumi-resource-aws`: the few types this fleet uses, by boto3 against named endpoints.

A preview calls nothing: what only the account can know is unknown in it. What is compared is inputs with inputs;
a refresh first puts the account's values in the place of the inputs that are set, so drift shows as a change of them.
"""

import hashlib
import json
import sys
from collections.abc import Sequence

from offline.providers.aws_cloud import Cloud, Gone
from offline.providers.aws_functions import FUNCTIONS, SECRET_ANSWERS
from offline.providers.aws_kinds import KINDS, Kind
from offline.providers.changes import Verdict, changes, verdict
from offline.providers.plugin import Engine, Failure, Found, PluginError, Resource, serve
from offline.providers.values import UNKNOWN, Object, Path, Secrets, has_unknown, is_unknown

VERSION = "7.51.1"


class Aws:
    """One configured provider."""

    name = "aws"
    version = VERSION

    def __init__(self) -> None:
        self._cloud = Cloud({})

    def configure(self, config: Object, engine: Engine) -> None:
        """Keep the provider's inputs; nothing is called before it is needed."""
        self._cloud = Cloud(config)
        where = ", ".join(sorted(set(self._cloud.endpoints.values()))) or "no endpoint"
        engine.info(f"stand-in AWS plugin: speaks to {where}; not a released provider")

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[Failure]]:
        """Name what has no name, settle tags and region, and say what is missing."""
        kind = KINDS.get(resource.type)
        if kind is None:
            known = ", ".join(sorted(KINDS))
            return new, [Failure("", f"the stand-in AWS plugin does not serve {resource.type}; it serves {known}")]
        failures = [Failure(key, f"{resource.name} needs {key}") for key in kind.required if new.get(key) in (None, "")]
        failures += [
            Failure(key, f"{resource.name}: the stand-in AWS plugin does not serve {key}")
            for key in kind.unserved
            if key in new
        ]
        checked = {key: value for key, value in new.items() if value is not None}
        for key in kind.documents:
            checked |= {key: _document(checked[key])} if key in checked else {}
        failures += [
            Failure(key, f"{resource.name}: {key} is not JSON")
            for key in kind.documents
            if key in checked and not is_unknown(checked[key]) and _meaning(checked[key]) is None
        ]
        return self._completed(kind, resource, old, checked), failures

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Verdict:
        """Compare inputs with inputs, JSON documents by what they mean."""
        del state
        kind = self._kind(resource)
        found = tuple(
            change
            for change in changes(old, new)
            if not (
                change.path[0] in kind.documents
                and (meaning := _meaning(old.get(str(change.path[0])))) is not None
                and meaning == _meaning(new.get(str(change.path[0])))
            )
        )

        def replaces(path: Path) -> bool:
            return path[0] in kind.forces_new

        same_name = bool(kind.named or kind.imported_as) and old.get("name") == new.get("name")
        return verdict(found, replaces, delete_first=same_name)

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Make the object."""
        kind = self._kind(resource)
        if preview:
            return "", {**inputs, **self._region(kind, inputs), **dict.fromkeys(kind.computed, UNKNOWN)}
        try:
            ident = kind.create(self._cloud, inputs)
        except Gone as error:
            raise PluginError(f"{resource.name}: what it needs does not exist: {error}") from None
        return ident, self._outputs(kind, ident, inputs)

    def read(self, resource: Resource, inputs: Object, state: Object) -> Found | None:
        """The object as the account has it."""
        kind = self._kind(resource)
        try:
            live = kind.read(self._cloud, resource.id, inputs or state)
        except Gone:
            return None
        if inputs:
            found = {key: _as_written(key, value, live, kind) for key, value in inputs.items()}
        else:
            found = {key: value for key, value in live.items() if key not in kind.computed}
        if kind.tagged:
            defaults = self._cloud.default_tags
            own = {key: tag for key, tag in live["tagsAll"].items() if defaults.get(key) != tag}
            wanted = inputs.get("tags") or {}
            own |= {key: tag for key, tag in live["tagsAll"].items() if key in wanted}
            if own or "tags" in inputs:
                found["tags"] = own
        region = self._region(kind, found)
        return Found(resource.id, found, {**_settings(inputs, live), **found, **live, **_kept(found, kind), **region})

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Change the object in place."""
        kind = self._kind(resource)
        if preview:
            return {**state, **new}
        try:
            kind.update(self._cloud, resource.id, old, new)
        except Gone:
            raise PluginError(f"{resource.id} is gone. Run `pulumi refresh`, then `pulumi up`.") from None
        return self._outputs(kind, resource.id, new)

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Remove the object."""
        try:
            self._kind(resource).delete(self._cloud, resource.id, inputs or state)
        except Gone:
            return

    def invoke(self, token: str, args: Object) -> Object:
        """Answer a function."""
        function = FUNCTIONS.get(token)
        if function is None:
            raise PluginError(f"The stand-in AWS plugin has no function {token}; it has {', '.join(FUNCTIONS)}.")
        return function(self._cloud, args)

    def also_secret(self, resource_type: str) -> Secrets:
        """What is always secret: tokens."""
        return Secrets(frozenset((key,) for key in SECRET_ANSWERS.get(resource_type, ())))

    def cancel(self) -> None:
        """Calls are short and bounded: there is nothing to end early."""

    def _kind(self, resource: Resource) -> Kind:
        kind = KINDS.get(resource.type)
        if kind is None:
            raise PluginError(f"The stand-in AWS plugin does not serve {resource.type}.")
        return kind

    def _completed(self, kind: Kind, resource: Resource, old: Object, new: Object) -> Object:
        completed = dict(new)
        if kind.named and not new.get(kind.named):
            kept = old.get(kind.named) if old.get("namePrefix") == new.get("namePrefix") else None
            prefix = new.get("namePrefix") or f"{resource.name}-"
            made = prefix if is_unknown(prefix) else f"{prefix}{_suffix(resource.seed)}"
            completed[kind.named] = kept or made
        if kind.tagged:
            tags = new.get("tags") or {}
            completed["tagsAll"] = UNKNOWN if is_unknown(tags) else {**self._cloud.default_tags, **tags}
        return completed

    def _outputs(self, kind: Kind, ident: str, inputs: Object) -> Object:
        live = kind.read(self._cloud, ident, inputs)
        return {**live, **_kept(inputs, kind), **self._region(kind, inputs), **_settings(inputs, live)}

    def _region(self, kind: Kind, inputs: Object) -> Object:
        return {"region": inputs.get("region") or self._cloud.region} if kind.regional else {}


def _settings(inputs: Object, live: Object) -> Object:
    """Inputs that the account does not keep, such as forceDelete: only the state knows them."""
    return {key: value for key, value in inputs.items() if key not in live}


def _kept(inputs: Object, kind: Kind) -> Object:
    """Documents in the program's own spelling."""
    return {key: inputs[key] for key in kind.documents if key in inputs}


def _as_written(key: str, value: object, live: Object, kind: Kind) -> object:
    if key not in live:
        return value
    if key in kind.documents and _meaning(value) == _meaning(live[key]):
        return value
    if isinstance(value, list) and isinstance(live[key], list) and len(value) == len(live[key]):
        return [_only_set(mine, theirs) for mine, theirs in zip(value, live[key], strict=True)]
    return _only_set(value, live[key]) if key != "tagsAll" else live[key]


def _only_set(mine: object, theirs: object) -> object:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return {key: theirs[key] for key in mine if key in theirs}
    return theirs


def _document(value: object) -> object:
    """A JSON document may be given as an object; the account wants a text."""
    if isinstance(value, dict | list):
        return UNKNOWN if has_unknown(value) else json.dumps(value)
    return value


def _meaning(text: object) -> object:
    """What a JSON document says, or None when it is none."""
    if not isinstance(text, str) or is_unknown(text):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _suffix(seed: bytes) -> str:
    return hashlib.sha256(seed).hexdigest()[:7]


def main() -> None:
    """Serve until the engine ends this process."""
    serve(Aws(), sys.argv[1:])


if __name__ == "__main__":
    main()
