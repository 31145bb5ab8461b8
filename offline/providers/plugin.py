"""The gRPC side of a resource plugin, shared by both stand-ins.

The engine starts the executable with its own address as the argument, reads one line (the port) from standard
output, and calls. A plugin here is an object with plain methods (`Plugin`); this module translates values, answers
the protocol's formalities, and turns every failure into one sentence. Importing is kept light: the engine waits for
each plugin to start, on every preview.
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

from offline.lifetime import end_with_the_engine
from offline.providers.changes import Change, Kind, Verdict
from offline.providers.values import Object, Secrets, decode, encode

MESSAGE_LIMIT = 400 << 20
OPTIONS = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.max_send_message_length", MESSAGE_LIMIT)]
THREADS = 32


class PluginError(Exception):
    """A failure as the person at the keyboard should read it: one or two sentences."""


class HalfDoneError(PluginError):
    """The object exists, but is not as it should be yet; the engine keeps it in the state and tries again."""

    def __init__(self, ident: str, outputs: Object, reason: str) -> None:
        super().__init__(reason)
        self.ident, self.outputs, self.reason = ident, outputs, reason


@dataclass(frozen=True)
class Resource:
    """Which resource a call is about, and how many seconds it may take (0: the plugin's own bound)."""

    urn: str
    type: str
    name: str
    id: str = ""
    timeout: float = 0.0
    seed: bytes = b""  # what a made-up name is drawn from: another one for each new object


@dataclass(frozen=True)
class Failure:
    """One input that cannot be accepted."""

    property: str
    reason: str


@dataclass(frozen=True)
class Found:
    """An object as a read found it."""

    id: str
    inputs: Object
    outputs: Object


@dataclass
class Engine:
    """The engine's own ear: what is said here shows in the diagnostics of the run. Each line is said once."""

    address: str
    _said: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def info(self, message: str, urn: str = "") -> None:
        """Say something worth knowing."""
        self._say(engine_pb2.INFO, message, urn)

    def warn(self, message: str, urn: str = "") -> None:
        """Say something to act on."""
        self._say(engine_pb2.WARNING, message, urn)

    def _say(self, severity: engine_pb2.LogSeverity.ValueType, message: str, urn: str) -> None:
        with self._lock:
            if not self.address or (message, urn) in self._said:
                return
            self._said.add((message, urn))
        try:
            with grpc.insecure_channel(self.address) as channel:
                request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn)
                engine_pb2_grpc.EngineStub(channel).Log(request, timeout=5)
        except grpc.RpcError:
            print(message, file=sys.stderr)


class Plugin(Protocol):
    """What a stand-in does, in plain values. `secrets` are handled around it, unknowns are its own concern."""

    name: str
    version: str

    def configure(self, config: Object, engine: Engine) -> None:
        """Take the provider's own inputs. No server is called here."""

    def check(self, resource: Resource, old: Object, new: Object) -> tuple[Object, Sequence[Failure]]:
        """Fill in defaults and refuse what cannot be. No server is called here."""

    def diff(self, resource: Resource, old: Object, new: Object, state: Object) -> Verdict:
        """Compare the last inputs with the new. No server is called here."""

    def create(self, resource: Resource, inputs: Object, *, preview: bool) -> tuple[str, Object]:
        """Make the object: its id and outputs."""

    def read(self, resource: Resource, inputs: Object, state: Object) -> Found | None:
        """Look at the object; None when it is gone."""

    def update(self, resource: Resource, old: Object, new: Object, state: Object, *, preview: bool) -> Object:
        """Change the object in place: its outputs."""

    def delete(self, resource: Resource, inputs: Object, state: Object) -> None:
        """Remove the object; one that is gone already is no error."""

    def invoke(self, token: str, args: Object) -> Object:
        """Answer a function."""

    def also_secret(self, resource_type: str) -> Secrets:
        """What is always secret in resources of this type."""

    def cancel(self) -> None:
        """End waits early."""


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol, around one `Plugin`."""

    def __init__(self, plugin: Plugin, engine: Engine) -> None:
        self._plugin, self._engine = plugin, engine

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._plugin.version)

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
        with _Answered(context):
            self._plugin.configure(decode(request.args)[0], self._engine)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        with _Answered(context):
            resource = replace(_resource(request), seed=request.randomSeed or os.urandom(16))
            new, secrets = decode(request.news)
            inputs, failures = self._plugin.check(resource, decode(request.olds)[0], new)
            always = self._plugin.also_secret(resource.type)
            answer = request.news if inputs == new and not always else encode(inputs, secrets | always)
            return provider_pb2.CheckResponse(
                inputs=answer,
                failures=[provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in failures],
            )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        with _Answered(context):
            state = decode(request.olds)[0]
            old, new = decode(request.old_inputs)[0], decode(request.news)[0]
            return _diff_response(self._plugin.diff(_resource(request, request.id), old, new, state))

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        with _Answered(context) as call:
            inputs, call.secrets = self._open(request, request.properties)
            resource = _resource(request, timeout=request.timeout)
            ident, outputs = self._plugin.create(resource, inputs, preview=request.preview)
            return provider_pb2.CreateResponse(id=ident, properties=encode(outputs, call.secrets))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        with _Answered(context):
            state, kept = self._open(request, request.properties)
            inputs, secrets = decode(request.inputs)
            found = self._plugin.read(_resource(request, request.id), inputs, state)
            if found is None:
                return provider_pb2.ReadResponse()
            secrets |= kept
            return provider_pb2.ReadResponse(
                id=found.id, inputs=encode(found.inputs, secrets), properties=encode(found.outputs, secrets)
            )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        with _Answered(context) as call:
            new, call.secrets = self._open(request, request.news)
            resource = _resource(request, request.id, request.timeout)
            old, state = decode(request.old_inputs)[0], decode(request.olds)[0]
            outputs = self._plugin.update(resource, old, new, state, preview=request.preview)
            return provider_pb2.UpdateResponse(properties=encode(outputs, call.secrets))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        with _Answered(context):
            resource = _resource(request, request.id, request.timeout)
            self._plugin.delete(resource, decode(request.old_inputs)[0], decode(request.properties)[0])
        return Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        with _Answered(context):
            args, secrets = decode(request.args)
            secrets |= self._plugin.also_secret(request.tok)
            response = provider_pb2.InvokeResponse()
            answer: Struct = getattr(response, "return")  # a word of Python's
            answer.CopyFrom(encode(self._plugin.invoke(request.tok, args), secrets))
            return response

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        self._plugin.cancel()
        return Empty()

    def _open(self, request: "_AboutResource", struct: Struct) -> tuple[Object, Secrets]:
        plain, secrets = decode(struct)
        return plain, secrets | self._plugin.also_secret(_resource(request).type)


class _AboutResource(Protocol):
    """What every request about a resource tells of it."""

    @property
    def urn(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class _Answered:
    """Turns whatever a call raises into an answer of the protocol."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context, self.secrets = context, Secrets()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HalfDoneError):
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.ident, properties=encode(error.outputs, self.secrets), reasons=[error.reason]
            )
            _abort_with(self._context, str(error), detail)
        if isinstance(error, PluginError):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if isinstance(error, Exception):
            if os.environ.get("ALPHASWARM_STANDIN_DEBUG"):
                traceback.print_exception(error)
            self._context.abort(
                grpc.StatusCode.UNKNOWN,
                f"the stand-in plugin failed: {type(error).__name__}: {error} (ALPHASWARM_STANDIN_DEBUG=1 shows where)",
            )


def _abort_with(context: grpc.ServicerContext, message: str, detail: Message) -> NoReturn:
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError


def _resource(request: _AboutResource, ident: str = "", timeout: float = 0.0) -> Resource:
    _, _, kind, name = request.urn.split("::", 3)
    return Resource(request.urn, request.type or kind.rpartition("$")[2], request.name or name, ident, timeout)


def _diff_response(verdict: Verdict) -> provider_pb2.DiffResponse:
    forced = set(verdict.replaces)
    some = provider_pb2.DiffResponse.DIFF_SOME if verdict.changes else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some,
        diffs=sorted({str(change.path[0]) for change in verdict.changes}),
        replaces=[change.place for change in verdict.replaces],
        deleteBeforeReplace=verdict.delete_first,
        hasDetailedDiff=True,
        detailedDiff={
            change.place: provider_pb2.PropertyDiff(kind=_kind(change, change in forced), inputDiff=True)
            for change in verdict.changes
        },
    )


def _kind(change: Change, forced: bool) -> provider_pb2.PropertyDiff.Kind.ValueType:
    kinds = provider_pb2.PropertyDiff
    plain, forcing = {
        Kind.ADD: (kinds.ADD, kinds.ADD_REPLACE),
        Kind.DELETE: (kinds.DELETE, kinds.DELETE_REPLACE),
        Kind.UPDATE: (kinds.UPDATE, kinds.UPDATE_REPLACE),
    }[change.kind]
    return forcing if forced else plain


def serve(plugin: Plugin, argv: Sequence[str]) -> None:
    """Serve `plugin` until the engine ends this process. The last argument without a dash is the engine's address."""
    end_with_the_engine()
    addresses = [arg for arg in argv if not arg.startswith("-")]
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=OPTIONS)
    engine = Engine(addresses[-1] if addresses else "")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(plugin, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
