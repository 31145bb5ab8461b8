"""The gRPC service `ResourceProvider` of Pulumi's plugin protocol, shared by both stand-ins.

The engine starts the executable with its own address as the argument, reads the port from the first line of standard
output, and calls. A stand-in is an object with plain methods (`Provider`). This module converts property values,
answers what is the same for every provider, and turns every error into one sentence. Imports are few: the engine
waits for each plugin to start, on every preview.
"""

# ruff: noqa: ARG002, D102, N802
# The protocol gives the methods of its services their names and arguments; its own documents describe them.

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import NoReturn, Protocol, Self

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from offline.lifetime import exit_with_engine
from offline.providers.diff import Diff, DiffKind, PropertyDiff
from offline.providers.values import Object, Secrets, decode, encode

MESSAGE_LIMIT = 400 << 20
OPTIONS = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.max_send_message_length", MESSAGE_LIMIT)]
THREADS = 32


class ProviderError(Exception):
    """A failure, in one or two sentences for the person who runs the engine."""


class InitFailedError(ProviderError):
    """The object was created, but did not become ready; the engine keeps it in the state and tries again."""

    def __init__(self, ident: str, outputs: Object, reason: str) -> None:
        super().__init__(reason)
        self.ident, self.outputs, self.reason = ident, outputs, reason


@dataclass(frozen=True)
class Resource:
    """The resource that a request is about; `timeout` is in seconds, 0 means the provider's default.

    `ignored` are the paths whose changes the program ignores; in an update they have their old values.
    """

    urn: str
    type: str
    name: str
    id: str = ""
    timeout: float = 0.0
    random_seed: bytes = b""  # for autonaming: another one for each new object
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckFailure:
    """An input that is refused."""

    property: str
    reason: str


@dataclass(frozen=True)
class ReadResult:
    """An object as the server has it."""

    id: str
    inputs: Object
    outputs: Object


@dataclass
class Engine:
    """The engine's log: its messages are the diagnostics of a run. Each message is logged once."""

    address: str
    _logged: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def info(self, message: str, urn: str = "") -> None:
        """Log a message at level info."""
        self._log(engine_pb2.INFO, message, urn)

    def warn(self, message: str, urn: str = "") -> None:
        """Log a message at level warning."""
        self._log(engine_pb2.WARNING, message, urn)

    def _log(self, severity: engine_pb2.LogSeverity.ValueType, message: str, urn: str) -> None:
        with self._lock:
            if not self.address or (message, urn) in self._logged:
                return
            self._logged.add((message, urn))
        try:
            with grpc.insecure_channel(self.address) as channel:
                request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn)
                engine_pb2_grpc.EngineStub(channel).Log(request, timeout=5)
        except grpc.RpcError:
            print(message, file=sys.stderr)


class Provider(Protocol):
    """A stand-in's own part, in plain values. Secrets are handled for it; unknown values are its own concern."""

    name: str
    version: str

    def configure(self, config: Object, engine: Engine) -> None:
        """Keep the provider's configuration. Calls no server."""

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[CheckFailure]]:
        """Fill in defaults, and return what is wrong. Calls no server."""

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Diff:
        """Compare the last inputs with the new. Calls no server."""

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Create the object, and return its id and outputs."""

    def read(self, resource: Resource, inputs: Object, state: Object) -> ReadResult | None:
        """Read the object; None when it does not exist."""

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Change the object in place, and return its outputs."""

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Delete the object. That it does not exist is no error."""

    def invoke(self, token: str, args: Object) -> Object:
        """Call a function, and return its result."""

    def always_secret(self, token: str) -> Secrets:
        """Return what is always secret in resources of this type, or in results of this function."""

    def cancel(self) -> None:
        """Stop waiting for anything."""


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one `Provider`."""

    def __init__(self, provider: Provider, engine: Engine) -> None:
        self._provider, self._engine = provider, engine

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> Empty:
        self._engine.address = request.address
        return Empty()

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        self._engine.address = request.engine_address or self._engine.address
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        # Never a replacement: a server that moved to another port is still the same server.
        same = decode(request.old_inputs)[0] == decode(request.news)[0]
        kind = provider_pb2.DiffResponse.DIFF_NONE if same else provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=kind)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        with _ErrorsAsStatus(context):
            self._provider.configure(decode(request.args)[0], self._engine)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        with _ErrorsAsStatus(context):
            resource = replace(_resource(request), random_seed=request.randomSeed or os.urandom(16))
            new, secrets = decode(request.news)
            inputs, failures = self._provider.check(resource, decode(request.olds)[0], new)
            always = self._provider.always_secret(resource.type)
            checked = request.news if inputs == new and not always else encode(inputs, secrets | always)
            return provider_pb2.CheckResponse(
                inputs=checked,
                failures=[provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in failures],
            )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        with _ErrorsAsStatus(context):
            state = decode(request.olds)[0]
            old, new = decode(request.old_inputs)[0], decode(request.news)[0]
            return _diff_response(self._provider.diff(_resource(request, request.id), old, new, state))

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        with _ErrorsAsStatus(context) as call:
            inputs, call.secrets = self._decode(request, request.properties)
            resource = _resource(request, timeout=request.timeout)
            ident, outputs = self._provider.create(resource, inputs, preview=request.preview)
            return provider_pb2.CreateResponse(id=ident, properties=encode(outputs, call.secrets))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        with _ErrorsAsStatus(context):
            state, state_secrets = self._decode(request, request.properties)
            inputs, secrets = decode(request.inputs)
            found = self._provider.read(_resource(request, request.id), inputs, state)
            if found is None:
                return provider_pb2.ReadResponse()
            secrets |= state_secrets
            return provider_pb2.ReadResponse(
                id=found.id, inputs=encode(found.inputs, secrets), properties=encode(found.outputs, secrets)
            )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        with _ErrorsAsStatus(context) as call:
            new, call.secrets = self._decode(request, request.news)
            resource = replace(_resource(request, request.id, request.timeout), ignored=tuple(request.ignoreChanges))
            old, state = decode(request.old_inputs)[0], decode(request.olds)[0]
            outputs = self._provider.update(resource, old, new, state, preview=request.preview)
            return provider_pb2.UpdateResponse(properties=encode(outputs, call.secrets))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        with _ErrorsAsStatus(context):
            resource = _resource(request, request.id, request.timeout)
            self._provider.delete(resource, decode(request.old_inputs)[0], decode(request.properties)[0])
        return Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        with _ErrorsAsStatus(context):
            args, secrets = decode(request.args)
            secrets |= self._provider.always_secret(request.tok)
            response = provider_pb2.InvokeResponse()
            result: Struct = getattr(response, "return")  # a keyword in Python
            result.CopyFrom(encode(self._provider.invoke(request.tok, args), secrets))
            return response

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        self._provider.cancel()
        return Empty()

    def _decode(self, request: "_ResourceRequest", struct: Struct) -> tuple[Object, Secrets]:
        plain, secrets = decode(struct)
        return plain, secrets | self._provider.always_secret(_resource(request).type)


class _ResourceRequest(Protocol):
    """The fields that every request about a resource has."""

    @property
    def urn(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class _ErrorsAsStatus:
    """Ends the call with a gRPC status when the block raises an exception."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context, self.secrets = context, Secrets()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InitFailedError):
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.ident, properties=encode(error.outputs, self.secrets), reasons=[error.reason]
            )
            _abort_with_detail(self._context, str(error), detail)
        if isinstance(error, ProviderError):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if isinstance(error, Exception):
            if os.environ.get("ALPHASWARM_STANDIN_DEBUG"):
                traceback.print_exception(error)
            self._context.abort(
                grpc.StatusCode.UNKNOWN,
                f"the stand-in plugin failed: {type(error).__name__}: {error} (ALPHASWARM_STANDIN_DEBUG=1 shows where)",
            )


def _abort_with_detail(context: grpc.ServicerContext, message: str, detail: Message) -> NoReturn:
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError


def _resource(request: _ResourceRequest, ident: str = "", timeout: float = 0.0) -> Resource:
    _, _, kind, name = request.urn.split("::", 3)
    return Resource(request.urn, request.type or kind.rpartition("$")[2], request.name or name, ident, timeout)


def _diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    forced = set(diff.replaces)
    some = provider_pb2.DiffResponse.DIFF_SOME if diff.changes else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some,
        diffs=sorted({str(change.path[0]) for change in diff.changes}),
        replaces=[change.property_path for change in diff.replaces],
        deleteBeforeReplace=diff.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            change.property_path: provider_pb2.PropertyDiff(kind=_kind(change, change in forced), inputDiff=True)
            for change in diff.changes
        },
    )


def _kind(change: PropertyDiff, forced: bool) -> provider_pb2.PropertyDiff.Kind.ValueType:
    kinds = provider_pb2.PropertyDiff
    plain, forcing = {
        DiffKind.ADD: (kinds.ADD, kinds.ADD_REPLACE),
        DiffKind.DELETE: (kinds.DELETE, kinds.DELETE_REPLACE),
        DiffKind.UPDATE: (kinds.UPDATE, kinds.UPDATE_REPLACE),
    }[change.kind]
    return forcing if forced else plain


def serve(provider: Provider, argv: Sequence[str]) -> None:
    """Serve the provider until the engine ends this process.

    Args:
        provider: the provider.
        argv: the command line without the program; its last argument without a dash is the engine's address.
    """
    exit_with_engine()
    addresses = [arg for arg in argv if not arg.startswith("-")]
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=OPTIONS)
    engine = Engine(addresses[-1] if addresses else "")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
