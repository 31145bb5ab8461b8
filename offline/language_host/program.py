"""Runs a Pulumi program for one Run request of the engine.

The program runs in the main thread (it may set signal handlers) with its folder first on `sys.path`, so its own
modules, such as `queues` and `components`, come before others of the same name. The engine shows what it prints as
diagnostics. A `pulumi.RunError` is logged as its message; any other exception once, with a traceback that begins in
the program.
"""

import asyncio
import contextlib
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import grpc
from pulumi import RunError, log
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import language_pb2

FAILED = 32  # the exit status of a program in a process of its own that has logged its error


def run(request: language_pb2.RunRequest, engine: str) -> bool:
    """Run the program of a request.

    Args:
        request: the engine's.
        engine: the engine's address.

    Returns:
        Whether it succeeded; if not, the error is logged.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the SDK logs failed tasks to the engine
    entry = entry_point(request.info)
    reset_options(
        project=request.project,
        stack=request.stack,
        root_directory=request.info.root_directory,
        parallel=request.parallel,
        engine_address=engine,
        monitor_address=request.monitor_address,
        preview=request.dryRun,
        organization=request.organization or "organization",
    )
    set_all_config(dict(request.config), list(request.configSecretKeys))
    with _process_set_up_for(entry, list(request.args), request.pwd):
        return _run_and_report(entry, request.parallel)


def entry_point(info: language_pb2.ProgramInfo) -> Path:
    """Return the file to run: the `main` of Pulumi.yaml, for a folder the `__main__.py` in it."""
    path = Path(info.program_directory or info.root_directory) / (info.entry_point or ".")
    return (path / "__main__.py" if path.is_dir() else path).absolute()


def _run_and_report(entry: Path, parallel: int) -> bool:
    try:
        _run_to_end(entry, parallel)
    except RunError as error:
        log.error(str(error))
    except grpc.RpcError as error:
        # An engine that is shutting down closes its monitor under the program: nothing to report then.
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            log.error(f"The engine refused a call: {error.details()}")
            return False
    except SystemExit as stop:
        if stop.code not in (None, 0):
            log.error(stop.code if isinstance(stop.code, str) else f"The program ended with status {stop.code}.")
            return False
        return True
    except Exception as error:  # noqa: BLE001 (whatever a program raises is shown to its user)
        log.error(f"Program failed with an unhandled exception:\n{format_traceback(error, entry.parent)}")
    else:
        return True
    return False


def _run_to_end(entry: Path, parallel: int) -> None:
    if not entry.is_file():
        message = f"There is no program at {entry}. Write it, or correct `main` in Pulumi.yaml."
        raise RunError(message)

    def program() -> None:
        runpy.run_path(str(entry), run_name="__main__")

    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max(parallel, 1) * 4))
    try:
        loop.run_until_complete(run_in_stack(program))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()


@contextlib.contextmanager
def _process_set_up_for(entry: Path, arguments: list[str], folder: str) -> Iterator[None]:
    """Set the process up as if it had been started for this program; remove its modules afterwards."""
    argv, path, here = sys.argv, sys.path, Path.cwd()
    sys.argv, sys.path = [str(entry), *arguments], [str(entry.parent), *path]
    if Path(folder or entry.parent).is_dir():
        os.chdir(folder or entry.parent)
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
        os.chdir(here)
        for name in [name for name, module in sys.modules.items() if _lies_in(module, entry.parent)]:
            del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or module.__name__.partition(".")[0] == "offline":
        return False
    return Path(file).is_relative_to(folder) and not Path(file).is_relative_to(sys.prefix)


def format_traceback(error: BaseException, program: Path) -> str:
    """Format the traceback of an error from the program's first frame on, with the program's files relative to it.

    Args:
        error: the exception.
        program: the program's folder.
    """
    trace = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    pending: list[traceback.TracebackException | None] = [trace]
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = _from_program(part.stack, program)
        pending += [part.__cause__, part.__context__]
    return "".join(trace.format()).rstrip()


def _from_program(stack: traceback.StackSummary, program: Path) -> traceback.StackSummary:
    frames = list(stack)
    ours = [_is_program(frame.filename, program) for frame in frames]
    kept = frames[ours.index(True) :] if True in ours else frames
    return traceback.StackSummary.from_list([_relative(frame, program) for frame in kept])


def _is_program(file: str, program: Path) -> bool:
    path = Path(file)
    if not path.is_relative_to(program) or path.is_relative_to(sys.prefix):
        return False
    return path != Path(__file__)


def _relative(frame: traceback.FrameSummary, program: Path) -> traceback.FrameSummary:
    name = frame.filename
    if _is_program(name, program):
        name = str(Path(name).relative_to(program))
    return traceback.FrameSummary(name, frame.lineno, frame.name, lookup_line=False, line=frame.line)


def main() -> None:
    """Run in a process of its own, with the request on standard input and the engine's address as the argument."""
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    sys.exit(0 if run(request, sys.argv[1]) else FAILED)


if __name__ == "__main__":
    main()
