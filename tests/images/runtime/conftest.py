"""The runtime package on the path, and the fixture that runs it against a real Redis server."""

import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images.runtime.harness import SOURCE, Fleet, Redis, Server, free_port

sys.path.insert(0, str(SOURCE))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    (tmp_path / "redis").mkdir()
    server = Server(free_port(), tmp_path / "redis")
    server.start()
    fleet = Fleet(server, tmp_path)
    try:
        yield fleet
    finally:
        for process in fleet.started:
            process.kill()
        server.stop()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Redis]:
    with fleet.server.client() as client:
        yield client


@pytest.fixture
def ledger(client: Redis) -> Any:  # noqa: ANN401 a Ledger, whose module is on the path only now
    """A process that has a lease of the queue of messages.py."""
    from alphaswarm_runtime.settings import catalogue
    from alphaswarm_runtime.transport.ledger import Ledger

    ledger = Ledger({"default": catalogue.load().queues["default"]}, lease=600)
    ledger.begin_lease(client)
    return ledger


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say where every message and every worker was when the test failed; they are gone when its output is read."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get("fleet")
    if call.when == "call" and report.failed and isinstance(fleet, Fleet):
        report.sections.append(("the fleet as the test left it", fleet.report()))
    return report
