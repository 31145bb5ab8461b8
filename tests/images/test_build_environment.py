"""The image tests' own builder: which run gets the cached state, and that nothing is left running."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.errors import CommandError
from common.progress import Progress
from local.builder import Builder
from tests.images import build_environment
from tests.images.build_environment import cached_environment, missing_for_builds, temporary_environment

BUILDER = Builder("b", "unix:///b", {}, ("linux/amd64",), {})


@dataclass
class Service:
    """A builder service that records the calls."""

    calls: list[str] = field(default_factory=list)
    fails: bool = False

    def start(self, _: Progress) -> Builder:
        self.calls.append("start")
        if self.fails:
            raise CommandError("BuildKit ended while starting.")
        return BUILDER

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr(build_environment, "ensure_builder", lambda *_: service)
    monkeypatch.setattr(build_environment, "ensure", lambda names, _: {name: Path(name) for name in names})
    return service


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("c")  # a test's own has its long name in it, and BuildKit's paths are short
    monkeypatch.setenv("ALPHASWARM_CACHE", str(folder))
    return folder / "image-tests"


@contextmanager
def recorded_progress() -> Iterator[tuple[Progress, io.StringIO]]:
    out = io.StringIO()
    yield Progress(out), out


@pytest.mark.usefixtures("service")
def test_the_cached_state_is_used_again_by_the_next_run(cache: Path) -> None:
    for _ in range(2):
        with recorded_progress() as (progress, out), cached_environment(progress) as opened:
            assert opened.scratch.parent == cache
            assert out.getvalue() == ""


@pytest.mark.usefixtures("service")
def test_a_second_run_at_the_same_time_builds_in_a_state_of_its_own_and_says_so(cache: Path) -> None:
    with recorded_progress() as (progress, out), cached_environment(progress), cached_environment(progress) as second:
        own = second.scratch.parent
        assert cache not in own.parents
        assert "another run holds the cached BuildKit state" in out.getvalue()
    assert not own.exists(), "gigabytes stay behind"


@pytest.mark.usefixtures("service")
def test_a_cache_too_deep_for_a_socket_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    monkeypatch.setenv("ALPHASWARM_CACHE", str(deep))
    with recorded_progress() as (progress, out), cached_environment(progress) as opened:
        assert deep not in opened.scratch.parents
        assert "too long a path" in out.getvalue()


def test_the_builder_is_ended_by_an_interrupt_too(cache: Path, service: Service) -> None:
    def interrupted() -> None:
        with cached_environment(Progress(io.StringIO())) as opened:
            (opened.scratch / "layers").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert service.calls == ["start", "stop"]
    assert not (cache / "scratch").exists(), "exported images stay in the cache"


def test_a_builder_that_does_not_come_up_is_ended_and_not_skipped(service: Service) -> None:
    service.fails = True
    with pytest.raises(CommandError), temporary_environment(Progress(io.StringIO())):
        pass
    assert service.calls == ["start", "stop"]


@pytest.mark.usefixtures("service")
def test_what_a_killed_run_exported_is_removed_by_the_next(cache: Path) -> None:
    (cache / "scratch" / "worker").mkdir(parents=True)
    with cached_environment(Progress(io.StringIO())) as opened:
        assert list(opened.scratch.iterdir()) == []


def test_without_root_the_reason_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in (missing_for_builds() or "")


def test_a_tool_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CommandError("runc is missing: Debian's package runc, which apt cannot install here.")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(build_environment, "_may_mount", lambda: True)
    monkeypatch.setattr(build_environment, "ensure", refuse)
    assert missing_for_builds() == "runc is missing: Debian's package runc, which apt cannot install here."


def test_without_the_right_to_mount_that_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(build_environment, "_may_mount", lambda: False)
    assert "right to mount" in (missing_for_builds() or "")
