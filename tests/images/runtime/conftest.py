"""The runtime package on the path, and the fixture that runs it against a real Redis server."""

import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.images.runtime.harness import SOURCE, Fleet, Server, free_port

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
