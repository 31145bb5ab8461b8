"""Measures how many busy pods a scale-in takes while others are idle: `python -m tools.bench.scale_in [--rounds N]`.

Deployments of eight pods, some of them busy, are scaled to a size that has room for all busy ones, as an autoscaler
does. API server and controllers are real; what a kubelet would say of the pods is written by this program.

    nothing    the pods tell Kubernetes nothing
    readiness  an idle pod is not ready
    cost       a busy pod has a higher pod-deletion-cost

Exit status: 0 measured, 130 interrupted.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common.exit_status import as_exit_status
from common.paths import Paths
from common.progress import Progress
from local.cluster import EmbeddedCluster, ensure_embedded_tools
from local.cluster.control_plane import ControlPlane
from local.ports import Ports
from tools.bench.scale_in.cluster import Cluster, Kubelets, Object

PODS = 8
NOTHING, READINESS, COST = "nothing", "readiness", "cost"
TIMEOUT = 60.0  # seconds for what must happen
MARKED = 0.5  # seconds between the marks and the scale-in


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition is true.

    Raises:
        TimeoutError: it is not.
    """
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT:.0f} s: {what}")
        time.sleep(0.05)


class ScaleIns:
    """Scale-ins of one Deployment whose pods tell Kubernetes `what` of themselves."""

    def __init__(self, cluster: Cluster, what: str) -> None:
        self._cluster = cluster
        self._what = what
        self._random = random.Random(1)  # noqa: S311 chance, and no secret
        self.taken = self.busy_taken = self.rounds_hit = self.rounds = 0
        cluster.deploy(what, PODS)

    def round(self) -> None:
        """Make some pods busy, scale in, count, and scale out again."""
        self._cluster.scale(self._what, PODS)
        until(lambda: len(self._running()) == PODS, "all pods run")
        names = [pod["metadata"]["name"] for pod in self._running()]
        busy = set(self._random.sample(names, self._random.randint(1, PODS - 1)))
        self._mark(names, busy)
        time.sleep(MARKED)
        replicas = self._random.randint(len(busy), PODS - 1)
        self._cluster.scale(self._what, replicas)
        until(lambda: len(self._deleted()) == PODS - replicas, "the scale-in is done")
        deleted = self._deleted()
        hit = busy & set(deleted)
        self.rounds += 1
        self.taken += len(deleted)
        self.busy_taken += len(hit)
        self.rounds_hit += bool(hit)
        for name in deleted:
            self._cluster.delete_now(name)
        self._mark([name for name in names if name not in deleted], set(), idle_too=False)

    def __str__(self) -> str:
        share = self.busy_taken / self.taken
        return (
            f"{self._what:<10} {self.rounds:>4} scale-ins, {self.taken:>5} pods taken, "
            f"{self.busy_taken:>4} of them busy ({share:.0%}), in {self.rounds_hit} scale-ins"
        )

    def _mark(self, names: list[str], busy: set[str], *, idle_too: bool = True) -> None:
        for name in names:
            if self._what == READINESS:
                self._cluster.set_ready(name, ready=name in busy or not idle_too)
            elif self._what == COST:
                self._cluster.set_deletion_cost(name, 1 if name in busy else None)

    def _pods(self) -> list[Object]:
        return self._cluster.pods(self._what)

    def _running(self) -> list[Object]:
        return [pod for pod in self._pods() if pod["status"].get("phase") == "Running" and not _is_deleted(pod)]

    def _deleted(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self._pods() if _is_deleted(pod)]


def _is_deleted(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def main() -> None:
    """Measure, and print a line for each of the three."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.scale_in", description="Measure how many busy pods a scale-in takes."
    )
    parser.add_argument("--rounds", type=int, default=300, help="scale-ins of each (default: 300, about 14 min in all)")
    rounds = parser.parse_args().rounds
    progress = Progress()
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        ports = Ports(paths.run / "ports.json")
        embedded = EmbeddedCluster(paths, ports, ensure_embedded_tools(progress))
        try:
            embedded.start(progress)
            plane = ControlPlane(paths, ports, embedded.tools)
            cluster = Cluster(plane.server, plane.pki, "default")
            kubelets = Kubelets(cluster)
            kubelets.start()
            try:
                for what in (NOTHING, READINESS, COST):
                    scale_ins = ScaleIns(cluster, what)
                    with progress.step(f"{rounds} scale-ins, {what}"):
                        for _ in range(rounds):
                            scale_ins.round()
                    print(scale_ins, flush=True)
            finally:
                kubelets.stop()
        finally:
            embedded.stop(progress, delete_data=True)


if __name__ == "__main__":
    with as_exit_status(interrupted="Interrupted."):
        main()
        sys.exit(0)
