"""A real API server with KEDA for the suites that need one, started once a session in a state folder of its own.

A suite gets it by `pytest_plugins = ["tests.embedded"]` in the topmost conftest, or by importing the fixture.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.paths import Paths
from common.progress import Progress
from local.cluster import EmbeddedCluster, ensure_embedded_tools
from local.ports import Ports


@dataclass(frozen=True)
class Kubectl:
    """The real kubectl against one cluster."""

    program: Path
    kubeconfig: Path
    context: str

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        reach = ("--kubeconfig", self.kubeconfig, "--context", self.context)
        return subprocess.run(
            [self.program, *reach, *words], input=given, capture_output=True, text=True, check=False, timeout=60
        )

    def get(self, *words: str) -> dict[str, Any]:
        """The object as JSON; the test fails with the server's words when there is none."""
        done = self.run("get", *words, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def apply(self, *manifests: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Server-side apply; the caller looks at the exit status."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.run("apply", "--server-side", "-f", "-", given=json.dumps(listed))


def kubectl_of(cluster: EmbeddedCluster) -> Kubectl:
    return Kubectl(cluster.tools.kubectl, cluster.kubeconfig, cluster.context)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    progress = Progress()
    paths = Paths(tmp_path_factory.mktemp("checkout"))
    cluster = EmbeddedCluster(paths, Ports(paths.run / "ports.json"), ensure_embedded_tools(progress))
    try:
        cluster.start(progress)
        yield cluster
    finally:
        cluster.stop(progress, delete_data=True)


@pytest.fixture
def kubectl(embedded: EmbeddedCluster) -> Kubectl:
    return kubectl_of(embedded)
