"""The images that a run's tests use, each built once. The builder is ended with the run."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import pytest

from common.progress import Progress
from queues import IMAGES
from tests.images.build_environment import BuildEnvironment, cached_environment, missing_for_builds
from tests.images.cases import CASES, Builds, BuiltCase, Case
from tests.images.container import Unpacked, unpack

Uncaptured = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def uncaptured(request: pytest.FixtureRequest) -> Uncaptured:
    """Make a context in which output is not captured: minutes of silence look like a hang."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    return capture.global_and_fixture_disabled if capture else nullcontext


@pytest.fixture(scope="session")
def environment(uncaptured: Uncaptured) -> Iterator[BuildEnvironment]:
    with ExitStack() as stack:
        with uncaptured():
            print()  # after the dots of pytest's own line
            if reason := missing_for_builds():
                pytest.skip(reason)
            environment = stack.enter_context(cached_environment(Progress()))
        yield environment


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest, environment: BuildEnvironment) -> Builds:
    native_platform = environment.builder.platforms[0]
    used = set()
    for item in request.session.items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        used |= {params["case"]} if "case" in params else set()
        used |= {Case(params["native_case"], native_platform)} if "native_case" in params else set()
    return Builds(environment, [case for case in CASES if case in used])


@pytest.fixture(scope="session", params=CASES, ids=str)
def case(request: pytest.FixtureRequest, builds: Builds, uncaptured: Uncaptured) -> BuiltCase:
    """Build each image for each platform."""
    if not builds.can(request.param):
        pytest.skip(f"this machine cannot build for {request.param.platform}: nothing runs its base's package manager")
    with uncaptured():
        return builds.get(request.param)


@pytest.fixture(scope="session", params=IMAGES, ids=lambda image: image.target)
def native_case(request: pytest.FixtureRequest, builds: Builds, uncaptured: Uncaptured) -> BuiltCase:
    """Build each image for this machine's platform."""
    with uncaptured():
        return builds.get(Case(request.param, builds.environment.builder.platforms[0]))


@pytest.fixture(scope="session")
def unpacked(native_case: BuiltCase, environment: BuildEnvironment) -> Iterator[Unpacked]:
    """Unpack the image on this machine's platform for containers."""
    folder = environment.scratch / f"{native_case.image.target}-unpacked"
    yield unpack(native_case, environment.runc, folder)
    shutil.rmtree(folder)
