"""The images that a run asks for, built once for all its tests; the builder is ended with the run, however it ends."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from common.progress import Progress
from queues import IMAGES
from tests.images.build_environment import BuildEnvironment, kept_workshop, missing
from tests.images.cases import CASES, Builds, Case, Made
from tests.images.container import Unpacked, unpack

Aloud = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def aloud(request: pytest.FixtureRequest) -> Aloud:
    """Within it, what is printed reaches the terminal at once: minutes of silence look like a hang."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    return capture.global_and_fixture_disabled if capture else nullcontext


@pytest.fixture(scope="session")
def environment(aloud: Aloud) -> Iterator[BuildEnvironment]:
    with aloud():
        print()  # pytest's own line ends where the test's dots begin
        if lacking := missing():
            pytest.skip(lacking)
        opened = kept_workshop(Progress())
        environment = opened.__enter__()
    try:
        yield environment
    finally:
        opened.__exit__(None, None, None)


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest, environment: BuildEnvironment) -> Builds:
    native = environment.builder.platforms[0]
    asked = set()
    for item in request.session.items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        asked |= {params["made"]} if "made" in params else set()
        asked |= {Case(params["native"], native)} if "native" in params else set()
    return Builds(environment, [case for case in CASES if case in asked])


@pytest.fixture(scope="session", params=CASES, ids=str)
def made(request: pytest.FixtureRequest, builds: Builds, aloud: Aloud) -> Made:
    """Each image on each platform."""
    if not builds.can(request.param):
        pytest.skip(f"this machine cannot build for {request.param.platform}: nothing runs its base's package manager")
    with aloud():
        return builds.get(request.param)


@pytest.fixture(scope="session", params=IMAGES, ids=lambda image: image.target)
def native(request: pytest.FixtureRequest, builds: Builds, aloud: Aloud) -> Made:
    """Each image on this machine's platform."""
    with aloud():
        return builds.get(Case(request.param, builds.environment.builder.platforms[0]))


@pytest.fixture(scope="session")
def unpacked(native: Made, environment: BuildEnvironment) -> Iterator[Unpacked]:
    """The same, laid out for containers."""
    folder = environment.scratch / f"{native.image.target}-unpacked"
    yield unpack(native, environment.runc, folder)
    shutil.rmtree(folder)
