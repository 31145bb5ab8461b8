"""A stand-in for Pulumi's engine that writes down what a program registers.

Pulumi's own mocks pass on a resource's inputs with their secrets unwrapped and drop its options, so a test on them
could not tell a leaked password from a kept one. This one speaks the monitor's protocol and keeps both. It answers as
the providers do: in an update with what they compute, in a preview with "unknown", which is how a first preview looks.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, resource_pb2

STACK_TYPE: Final = "pulumi:pulumi:Stack"
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"
RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
FEATURES: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
)


@dataclass(frozen=True)
class Secret:
    """A value that the program marks as secret."""

    value: Any


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Cloud:
    """What providers and other stacks answer with."""

    account: str = "000000000000"
    region: str = "eu-central-1"
    other_stacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    empty_digests: bool = False  # what docker-build answers in a preview after the source has changed


@dataclass(frozen=True)
class Registration:
    """One resource, as the program registered it."""

    type: str
    name: str
    urn: str
    parent: str
    custom: bool
    inputs: Mapping[str, Any]
    protect: bool
    retain_on_delete: bool
    dependencies: frozenset[str]
    provider: str
    aliases: frozenset[str]  # the URNs of places it had before
    ignored: frozenset[str]  # the paths whose changes the engine ignores
    asked_before_updates: bool  # whether a hook of the program may refuse one


class Monitor:
    """The engine's side of a program's registrations. Raises ValueError when two of them share a URN."""

    def __init__(self, project: str, stack: str, cloud: Cloud, *, preview: bool) -> None:
        self.project, self.stack, self.cloud, self.preview = project, stack, cloud, preview
        self.registrations: list[Registration] = []
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.messages: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def GetDeploymentInfo(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return resource_pb2.DeploymentInfo(supportedFeatures=FEATURES)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        urn = self._urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        self._keep(
            Registration(
                type=request.type,
                name=request.name,
                urn=urn,
                parent=request.parent,
                custom=request.custom,
                inputs=_mapping(request.object),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                dependencies=frozenset(request.dependencies),
                provider=request.provider,
                aliases=frozenset(
                    self._urn(alias.spec.parentUrn or request.parent, request.type, alias.spec.name or request.name)
                    for alias in request.aliases
                ),
                ignored=frozenset(request.ignoreChanges),
                asked_before_updates=bool(request.hooks.before_update),
            )
        )
        found = struct_pb2.Struct()
        found.CopyFrom(request.object)
        found.update(self._computed(request.type, request.name, _mapping(request.object)))
        known = request.custom and not self.preview
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id" if known else "", object=found)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        if request.type != "pulumi:pulumi:StackReference":
            raise NotImplementedError(f"the program reads a {request.type}, which has no answer here")
        urn = self._urn(request.parent, request.type, request.name)
        found = struct_pb2.Struct()
        found.update({"name": request.id, "outputs": self.cloud.other_stacks[request.id], "secretOutputNames": []})
        return resource_pb2.ReadResourceResponse(urn=urn, properties=found)

    def RegisterResourceHook(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return empty_pb2.Empty()

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        with self._lock:
            self.outputs[request.urn] = _mapping(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        raise NotImplementedError(f"the program calls {request.tok}, which has no answer here")

    def SignalAndWaitForShutdown(self, _request: Any) -> Any:  # noqa: N802, ANN401 the protocol's names
        return empty_pb2.Empty()

    def Log(self, request: Any) -> None:  # noqa: N802, ANN401 the protocol's names
        with self._lock:
            self.messages.append((engine_pb2.LogSeverity.Name(request.severity), request.message))

    def _keep(self, registration: Registration) -> None:
        with self._lock:
            if any(other.urn == registration.urn for other in self.registrations):
                raise ValueError(f"Duplicate resource URN {registration.urn!r}")
            self.registrations.append(registration)

    def _urn(self, parent: str, kind: str, name: str) -> str:
        above = parent.split("::")[2] if parent else STACK_TYPE
        path = kind if above == STACK_TYPE else f"{above}${kind}"
        return f"urn:pulumi:{self.stack}::{self.project}::{path}::{name}"

    def _computed(self, kind: str, name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
        found = COMPUTED[kind](self.cloud, name, inputs) if kind in COMPUTED else {}
        if not self.preview:
            return found
        unbuilt = {"digest": "", "contextHash": digest("changed", name), "ref": _tag(inputs)}
        if self.cloud.empty_digests and kind.startswith("docker-build:"):
            return {key: unbuilt[key] for key in found}
        return dict.fromkeys(found, rpc.UNKNOWN)


def digest(*parts: str) -> str:
    """A digest that differs with its parts."""
    return f"sha256:{hashlib.sha256('/'.join(parts).encode()).hexdigest()}"


def index_digest(image: str) -> str:
    """The digest of an image's index once it is built."""
    return digest("index", image)


def _tag(inputs: Mapping[str, Any]) -> str:
    return str(inputs.get("tag", ""))


def _repository(cloud: Cloud, _name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    repository = inputs["name"]
    return {
        "repositoryUrl": f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com/{repository}",
        "arn": f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/{repository}",
    }


def _key(cloud: Cloud, _name: str, _inputs: Mapping[str, Any]) -> dict[str, str]:
    key = "11111111-2222-3333-4444-555555555555"
    return {"keyId": key, "arn": f"arn:aws:kms:{cloud.region}:{cloud.account}:key/{key}"}


def _role(cloud: Cloud, _name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    return {"arn": f"arn:aws:iam::{cloud.account}:role/{inputs['name']}"}


def _image(_cloud: Cloud, name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    return {"digest": digest("image", name), "contextHash": digest("context", str(inputs["target"])), "ref": ""}


def _index(_cloud: Cloud, name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    return {"ref": f"{_tag(inputs)}@{index_digest(name)}"}


COMPUTED: Final[Mapping[str, Callable[[Cloud, str, Mapping[str, Any]], dict[str, str]]]] = {
    "aws:ecr/repository:Repository": _repository,
    "aws:kms/key:Key": _key,
    "aws:iam/role:Role": _role,
    "docker-build:index:Image": _image,
    "docker-build:index:Index": _index,
}


def _mapping(struct: struct_pb2.Struct) -> Mapping[str, Any]:
    decoded = _decoded(json_format.MessageToDict(struct))
    return decoded if isinstance(decoded, dict) else {}


def _decoded(value: Any) -> Any:  # noqa: ANN401 any plain data
    if isinstance(value, dict):
        signature = value.get(SIGNATURE)
        if signature == SECRET_SIGNATURE:
            return Secret(_decoded(value["value"]))
        if signature == RESOURCE_SIGNATURE:
            return value["urn"]
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if value == rpc.UNKNOWN:
        return UNKNOWN
    return int(value) if isinstance(value, float) and value.is_integer() else value


def leaves(value: Any) -> Iterator[Any]:  # noqa: ANN401 any plain data
    """Every scalar in `value`, keys too; a secret stays one leaf."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value
