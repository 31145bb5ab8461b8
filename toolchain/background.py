"""Has several tools at a time: packages and downloads go on while a compiler runs, and nobody waits for all of them.

Three threads, each with its own queue: Debian's packages in one call; the network, which brings releases and then the
modules that are compiled later; and one `go build` at a time, since a single one already keeps every core busy.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from common.errors import CommandError
from common.progress import Progress
from toolchain import build, debian, releases
from toolchain.catalogue import Engine, Tool, named
from toolchain.download import UnavailableError
from toolchain.locate import locate
from toolchain.plan import Plan, plan
from toolchain.running import Running

_Work = Future[list["_Work"]]  # its result is what has to be waited for instead, after another way failed


def ensure_in_background(names: Sequence[str], progress: Progress) -> "Background":
    """Begin to have every tool in `names`, what is named first coming first, and return at once.

        with ensure_in_background(["buildkitd", "buildctl", "pulumi", "keda-operator"], progress) as tools:
            builder = tools.wait("buildkitd", "buildctl")    # the others go on meanwhile
            pulumi = tools.wait("pulumi")["pulumi"]

    Leaving the block waits for the rest; leaving it by an exception, an interrupt among them, ends what still runs.

    Raises:
        CommandError: some tool cannot be had at all, or the disk is too small; nothing was begun then.
    """
    tools, running = named(names), Running()
    missing = [tool for tool in tools if locate(tool) is None]
    todo = plan(missing, apt=debian.possible(), released=releases.Offer(progress).has)
    build.check_space(todo.builds, progress, running)
    return Background(tools, todo, progress, running)


class Background:
    """Tools that are being had. Use it as a context manager, so that no compiler outlives the caller."""

    def __init__(self, tools: Sequence[Tool], todo: Plan, progress: Progress, running: Running) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._todo, self._progress, self._running = todo, progress, running
        self._packages = ThreadPoolExecutor(1, "packages")
        self._network = ThreadPoolExecutor(1, "network")
        self._compiler = ThreadPoolExecutor(1, "compiler")
        self._ended: set[_Work] = set()
        self._work = self._begin()  # by the tool's name; a tool that was there already has no entry

    def wait(self, *names: str) -> Mapping[str, Path]:
        """Wait until the tools `names` are there (all of them when none is named), and return where each stands.

        May be called any number of times, in any order, from any thread.

        Raises:
            CommandError: one of these could not be had. Others may still come.
        """
        asked = [self._tool(name) for name in names] or list(self._tools.values())
        works = {self._work[tool.name] for tool in asked if tool.name in self._work}
        while works:
            works = {instead for work in _done(works) for instead in work.result()}
        return {tool.name: _certain(tool) for tool in asked}

    def close(self) -> None:
        """End what still runs, with every compiler, in seconds; an installation by apt is let finish."""
        self._running.stop()
        for pool in (self._packages, self._network, self._compiler):
            pool.shutdown(cancel_futures=True)
        for work in set(self._work.values()):
            if work.cancelled() and work not in self._ended:  # the executor dropped it and tells nobody who waits
                work.set_running_or_notify_cancel()
                self._ended.add(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self.close()

    def _begin(self) -> Mapping[str, _Work]:
        """Fill the queues. The first build needs no modules fetched ahead: it fetches them itself at this moment."""
        packages, downloads, builds = self._todo.packages, self._todo.downloads, self._todo.builds
        first = bool(packages) + 1
        installed = self._packages.submit(self._install)
        had = {
            engine.name: self._network.submit(self._download, engine, number)
            for number, engine in enumerate(downloads, first)
        }
        had |= {
            engine.name: self._compiler.submit(self._build, engine, number)
            for number, engine in enumerate(builds, first + len(downloads))
        }
        for engine in builds[1:]:
            self._network.submit(build.fetch, engine, self._progress, self._running)
        return {tool.name: installed for tool in packages} | {
            tool.name: had[tool.engine.name] for tool in self._tools.values() if tool.engine and tool.engine.name in had
        }

    def _install(self) -> "list[_Work]":
        """Install the packages; where apt fails and every one of them can be built instead, build them."""
        packages = self._todo.packages
        if not packages:
            return []
        try:
            debian.install([tool.debian for tool in packages if tool.debian], self._progress, self._count(1))
        except CommandError as refused:
            engines = {tool.engine.name: tool.engine for tool in packages if tool.engine}
            if any(tool.engine is None for tool in packages):
                raise
            self._progress.say(f"      {refused}\n      building them instead")
            return [self._build_instead(engine) for engine in engines.values()]
        return []

    def _download(self, engine: Engine, number: int) -> "list[_Work]":
        """Download the release, or build the module where that fails."""
        try:
            releases.download(engine, self._progress, self._running, count=self._count(number))
        except UnavailableError as problem:
            self._progress.say(f"      {problem}; building {engine.name} from its module instead")
            return [self._build_instead(engine)]
        return []

    def _build_instead(self, engine: Engine) -> _Work:
        build.check_space([engine], self._progress, self._running)
        return self._compiler.submit(self._build, engine)

    def _build(self, engine: Engine, number: int = 0) -> "list[_Work]":
        build.build(engine, self._progress, self._running, count=self._count(number) if number else "")
        return []

    def _count(self, number: int) -> str:
        return f"{number} of {self._todo.steps}" if self._todo.steps > 1 else ""

    def _tool(self, name: str) -> Tool:
        if name not in self._tools:
            raise CommandError(f"{name} was not asked for; these were: {', '.join(self._tools)}.")
        return self._tools[name]


def _done(works: set[_Work]) -> set[_Work]:
    """Those that are done when all are, or when the first of them failed."""
    return wait(works, return_when=FIRST_EXCEPTION).done


def _certain(tool: Tool) -> Path:
    found = locate(tool)
    if found is None:
        raise CommandError(
            f"{tool.name} was installed, yet what stands on PATH is not of a fitting version ({tool.version}). "
            f"Remove the old one, or put a newer {tool.name} before it on PATH."
        )
    return found.path
