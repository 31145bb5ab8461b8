"""A provider behind its gRPC service, and the servers that it calls."""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from local.ports import free_port
from local.processes import Daemon
from offline.launchers import install
from offline.providers.plugin import Engine, Provider, Servicer
from offline.providers.values import Json, Secrets, decode, encode
from tests.offline.api_server import Cluster, Handler
from toolchain import find

CHECKOUT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"


class EngineLog(engine_pb2_grpc.EngineServicer):
    """The engine's log: keeps the messages of the provider."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def Log(  # noqa: N802 (the protocol's name)
        self,
        request: engine_pb2.LogRequest,
        context: grpc.ServicerContext,  # noqa: ARG002 (the protocol's argument)
    ) -> Empty:
        self.messages.append(request.message)
        return Empty()


@dataclass
class Client:
    """Calls a provider as the engine does."""

    stub: provider_pb2_grpc.ResourceProviderStub
    log: EngineLog

    def configure(self, **config: Json) -> None:
        self.stub.Configure(provider_pb2.ConfigureRequest(args=encode(config)))

    def check(
        self, kind: str, new: dict[str, Any], old: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        request = provider_pb2.CheckRequest(urn=urn(kind), olds=encode(old or {}), news=encode(new), randomSeed=b"seed")
        answer = self.stub.Check(request)
        return decode(answer.inputs)[0], [(failure.property, failure.reason) for failure in answer.failures]

    def diff(self, kind: str, old: dict[str, Any], new: dict[str, Any]) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(id="i", urn=urn(kind), olds=encode(old), old_inputs=encode(old))
        request.news.CopyFrom(encode(new))
        answer: provider_pb2.DiffResponse = self.stub.Diff(request)
        return answer

    def create(self, kind: str, inputs: dict[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        answer = self.stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=encode(inputs), preview=preview))
        return answer.id, decode(answer.properties)[0]

    def secrets_of_create(self, kind: str, inputs: dict[str, Any]) -> Secrets:
        answer = self.stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=encode(inputs)))
        return decode(answer.properties)[1]

    def read(self, kind: str, ident: str, inputs: dict[str, Any], state: dict[str, Any] | None = None) -> Json:
        request = provider_pb2.ReadRequest(id=ident, urn=urn(kind), inputs=encode(inputs))
        request.properties.CopyFrom(encode(state or {}))
        answer = self.stub.Read(request)
        return decode(answer.inputs)[0] if answer.id else None

    def update(
        self,
        kind: str,
        ident: str,
        old: dict[str, Any],
        new: dict[str, Any],
        state: dict[str, Any] | None = None,
        *,
        preview: bool = False,
        ignored: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id=ident, urn=urn(kind), old_inputs=encode(old), news=encode(new), preview=preview, ignoreChanges=ignored
        )
        request.olds.CopyFrom(encode(state or old))
        return decode(self.stub.Update(request).properties)[0]

    def delete(self, kind: str, ident: str, inputs: dict[str, Any], state: dict[str, Any] | None = None) -> None:
        request = provider_pb2.DeleteRequest(id=ident, urn=urn(kind), old_inputs=encode(inputs), timeout=0.3)
        request.properties.CopyFrom(encode(state or inputs))
        self.stub.Delete(request)

    def invoke(self, token: str, **args: Json) -> tuple[dict[str, Any], Secrets]:
        return decode(getattr(self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=encode(args))), "return"))


def urn(kind: str) -> str:
    return f"urn:pulumi:s::p::{kind}::thing"


def refusal(call: Callable[[], object]) -> str:
    """The error message with which a call fails."""
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return str(failure.value.details())


@pytest.fixture
def serve() -> Iterator[Callable[[Provider], Client]]:
    started: list[grpc.Server] = []

    def start(provider: Provider) -> Client:
        log = EngineLog()
        server = grpc.server(futures.ThreadPoolExecutor(8))
        engine_pb2_grpc.add_EngineServicer_to_server(log, server)
        port = server.add_insecure_port("127.0.0.1:0")
        engine = Engine(f"127.0.0.1:{port}")
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider, engine), server)
        server.start()
        started.append(server)
        return Client(provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}")), log)

    yield start
    for server in started:
        server.stop(None)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a moto server."""
    folder, port = tmp_path_factory.mktemp("moto"), free_port()
    url = f"http://127.0.0.1:{port}"
    server = Daemon("moto", folder, folder)

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=1):  # noqa: S310 (our own server)
                return True
        except OSError:
            return False

    command: list[str | Path] = [Path(sys.prefix) / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    server.start(command, env={"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}, ready=ready, within=60)
    yield url
    server.stop(0.0)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    state = Cluster("")

    handler = type("Handler", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


def kubeconfig(url: str) -> str:
    """A kubeconfig for a server that asks for nothing."""
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
        }
    )


@dataclass(frozen=True)
class Project:
    """A Pulumi project of its own: program, state, plugins."""

    folder: Path
    env: dict[str, str]

    def write(self, program: str, **modules: str) -> None:
        (self.folder / "__main__.py").write_text(program)
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)

    def pulumi(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [self.env["PULUMI"], *arguments, "--non-interactive", "--color", "never"]
        merged = {**os.environ, **self.env, **env}
        return subprocess.run(command, cwd=self.folder, env=merged, capture_output=True, text=True, check=False)

    def ok(self, *arguments: str, **env: str) -> str:
        done = self.pulumi(*arguments, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def state(self) -> str:
        return (self.folder / "state" / ".pulumi" / "stacks" / "thing" / "s.json").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = find("pulumi")
    if found is None:
        pytest.skip("there is no Pulumi CLI here: `make test-engine` builds it")
    pulumi = str(found)
    (tmp_path / "Pulumi.yaml").write_text("name: thing\nruntime: python\n")
    (tmp_path / "state").mkdir()
    plugins = tmp_path / "bin"
    install(plugins, Path(sys.executable))
    env = {
        "PULUMI": pulumi,
        "PATH": os.pathsep.join([str(plugins), os.environ["PATH"]]),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "not-a-secret",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
    }
    made = Project(tmp_path, env)
    made.ok("stack", "init", "s")
    return made


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a real API server with its controllers."""
    from common.paths import Paths, private_folder
    from local.cluster.control_plane import ControlPlane, ControlPlaneTools
    from local.ports import Ports

    names = ("etcd", "kube-apiserver", "kube-controller-manager")
    found = {name.replace("-", "_"): find(name) for name in names}
    if None in found.values():
        pytest.skip("there is no API server here: `make test-engine` builds it")
    nowhere = Path("/nonexistent")
    unused = ("kubectl", "keda_operator", "keda_adapter", "keda_webhooks", "keda_config")
    tools = ControlPlaneTools(
        **{**{name: path or nowhere for name, path in found.items()}, **dict.fromkeys(unused, nowhere)}
    )
    paths = Paths(tmp_path_factory.mktemp("cluster"))
    plane = ControlPlane(paths, Ports(paths.run / "ports.json"), tools)
    private_folder(plane.folder)
    plane.pki.ensure()
    servers = (plane.etcd, plane.api_server, plane.controllers)
    try:
        plane.etcd.start()
        plane.api_server.start()
        plane.write_kubeconfigs()
        plane.controllers.start()
        yield plane.kubeconfig
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(paths.state, ignore_errors=True)
