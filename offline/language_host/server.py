"""The language host `pulumi-language-python` for machines that cannot download Pulumi's own.

The engine starts it with its address as the argument, reads the port from standard output, and calls Run. The
released host is a Go program that starts a Python process for each run. This one is Python and runs the program in
its own process. Only where Pulumi.yaml names another virtual environment, that one's Python runs the program.

GetRequiredPackages returns nothing: the engine would download each package before the program starts. A missing
plugin is an error when the program first uses it.
"""

# ruff: noqa: ARG002, D102, N802
# The protocol gives the methods of its services their names and arguments; its own documents describe them.

import importlib.metadata
import platform
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from offline.language_host import program
from offline.lifetime import exit_with_engine

MESSAGE_LIMIT = 400 << 20
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class _ProgramRun:
    """A run of the program: requested by the thread that serves the call, done by the main thread."""

    job: Callable[[], bool]
    done: Event = field(default_factory=Event)
    succeeded: bool = False


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The gRPC service `LanguageRuntime` of Pulumi's plugin protocol."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._queue: queue.Queue[_ProgramRun] = queue.Queue()

    def run_programs(self) -> NoReturn:
        """Run the programs that are requested, in the calling thread, for ever."""
        while True:
            program_run = self._queue.get()
            try:
                program_run.succeeded = program_run.job()
            finally:
                program_run.done.set()

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        return language_pb2.GetRequiredPluginsResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        try:
            python = python_of(request.info)
        except FileNotFoundError as error:
            return language_pb2.RunResponse(error=str(error))
        program_run = _ProgramRun(lambda: self._run(request, python))
        self._queue.put(program_run)
        program_run.done.wait()
        # The error is among the diagnostics already: with `bail` the engine does not print it again.
        return language_pb2.RunResponse(bail=not program_run.succeeded)

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        return language_pb2.AboutResponse(
            executable=sys.executable,
            version=platform.python_version(),
            metadata={"host": "stand-in of this checkout, not Pulumi's release"},
        )

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        found = {dist.name: dist.version for dist in importlib.metadata.distributions()}
        dependencies = [language_pb2.DependencyInfo(name=name, version=found[name]) for name in sorted(found)]
        return language_pb2.GetProgramDependenciesResponse(dependencies=dependencies)

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        wanted = virtualenv_of(request.info)
        if wanted is None or (wanted / "bin" / "python").exists():
            return
        yield from _streamed([sys.executable, "-m", "venv", str(wanted)], context)
        requirements = Path(request.info.program_directory or request.directory) / "requirements.txt"
        if requirements.exists():
            yield from _streamed([str(wanted / "bin" / "pip"), "install", "-r", str(requirements)], context)

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def _run(self, request: language_pb2.RunRequest, python: Path) -> bool:
        if python == Path(sys.executable):
            return program.run(request, self._engine)
        code = (
            f"import sys; sys.path.append({str(CHECKOUT)!r}); from offline.language_host import program; program.main()"
        )
        command = [str(python), "-P", "-u", "-c", code, self._engine]
        return subprocess.run(command, input=request.SerializeToString(), check=False).returncode == 0


def virtualenv_of(info: language_pb2.ProgramInfo) -> Path | None:
    """Return the virtual environment that Pulumi.yaml names; None when it names none."""
    name = MessageToDict(info.options).get("virtualenv")
    return Path(info.root_directory) / name if isinstance(name, str) and name else None


def python_of(info: language_pb2.ProgramInfo) -> Path:
    """Return the interpreter for the program: this one, unless Pulumi.yaml names another virtual environment.

    Raises:
        FileNotFoundError: there is no such virtual environment.
    """
    wanted = virtualenv_of(info)
    if wanted is None or wanted.resolve() == Path(sys.prefix).resolve():
        return Path(sys.executable)
    python = wanted / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            f"Pulumi.yaml names the virtual environment {wanted}, and there is none. Run `pulumi install` to make it."
        )
    return python


def _streamed(command: list[str], context: grpc.ServicerContext) -> Iterator[language_pb2.InstallDependenciesResponse]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            yield language_pb2.InstallDependenciesResponse(stdout=line)
    if process.returncode:
        context.abort(grpc.StatusCode.UNKNOWN, f"{' '.join(command)} ended with status {process.returncode}.")


def main() -> None:
    """Serve until the engine ends this process; the last argument without a dash is the engine's address."""
    exit_with_engine()
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    host = LanguageHost(addresses[-1] if addresses else "")
    options = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.max_send_message_length", MESSAGE_LIMIT)]
    server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    host.run_programs()


if __name__ == "__main__":
    main()
