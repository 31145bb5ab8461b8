"""`make down` ends in bounded time whatever hangs, names it, and leaves nothing that it may remove."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.cluster import EmbeddedCluster
from local.processes import Daemon, start_time
from tests.embedded import Kubectl, embedded, kubectl
from tests.waiting import PATIENCE, eventually

from .checkout import Checkout, CommandResult
from .fleet import NAMESPACE, Fleet

__all__ = ["embedded", "kubectl"]
pytestmark = [pytest.mark.engine, pytest.mark.cluster]

FINALIZER = "example.com/nobody-serves-this"
HELD = '{"metadata":{"finalizers":["' + FINALIZER + '"]}}'
HANGING = "deployment.apps/redis"
SHORT = ("--timeout", "30")


def hold(kubectl: Kubectl) -> None:
    """Give the broker a finalizer that no controller removes."""
    done = kubectl.run("-n", NAMESPACE, "patch", HANGING, "--type=merge", "-p", HELD)
    assert done.returncode == 0, done.stderr


def assert_nothing_is_left(checkout: Checkout, pids: dict[str, int]) -> None:
    assert not checkout.paths.state.exists()
    assert [name for name, pid in pids.items() if start_time(pid) is not None] == []
    eventually(checkout.plugins, [])


def test_an_object_that_cannot_end_is_named_and_nothing_is_left_even_after_an_interrupt(
    new_checkout: Callable[[str], Checkout],
) -> None:
    fleet = Fleet(new_checkout("hanging"))
    checkout = fleet.checkout
    checkout.local("up").ok()
    hold(fleet.kubectl)
    pids = checkout.servers()

    running = checkout.start("down", "--timeout", "600")
    eventually(lambda: "Namespace alphaswarm-namespace deleting" in checkout.output_file.read_text(), expected=True)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(PATIENCE) == 130, checkout.output_file.read_text()
    assert fleet.state(), "an interrupted down forgot what is still in the cluster"

    said = checkout.local("down", *SHORT).ok()
    assert f"{HANGING}: being deleted since" in said.text
    assert FINALIZER in said.text
    assert_nothing_is_left(checkout, pids)


def test_a_cluster_that_cannot_be_started_again_is_given_up_with_its_objects(
    new_checkout: Callable[[str], Checkout],
) -> None:
    checkout = new_checkout("broken")
    checkout.local("up").ok()
    pids = checkout.servers()
    for name in ("kube-apiserver", "etcd"):
        Daemon(name, checkout.paths.run, checkout.paths.logs).stop(0.0)
    for log in (checkout.paths.state / "state" / "etcd").rglob("*.wal"):
        log.write_bytes(b"torn")
    said = checkout.local("down").ok()
    assert "etcd ended while starting" in said.text
    assert "They end with their cluster" in said.text
    assert_nothing_is_left(checkout, pids)


@pytest.fixture
def beside(new_checkout: Callable[[str], Checkout], embedded: EmbeddedCluster) -> tuple[Checkout, dict[str, str]]:
    """A checkout whose stack is in a cluster that it did not make."""
    checkout = new_checkout("beside")
    kubectl_folder = Path(sys.executable).parent
    env = {
        "LOCAL_CLUSTER": f"context:{embedded.context}",
        "KUBECONFIG": str(embedded.kubeconfig),
        "PATH": f"{kubectl_folder}:{os.environ['PATH']}",
    }
    checkout.local("up", **env).ok()
    return checkout, env


def test_objects_in_a_cluster_of_somebody_elses_are_kept_in_the_state_until_they_are_given_up(
    beside: tuple[Checkout, dict[str, str]], kubectl: Kubectl
) -> None:
    checkout, env = beside
    hold(kubectl)
    pids = checkout.servers()

    for _ in range(3):  # where little else runs, once is enough
        refused = checkout.local("down", *SHORT, **env)
        assert refused.status == 1, refused.text
        if f"{HANGING}: being deleted since" in refused.text:
            break
    else:
        pytest.fail(refused.text)
    assert "make down FORCE=1" in refused.text
    assert checkout.servers() == pids, "half of it was removed, and the state is of no use without its servers"
    assert Fleet(checkout).state()

    given_up = checkout.local("down", "--force", *SHORT, **env).ok()
    assert_nothing_is_left(checkout, pids)
    assert kubectl.get("namespace", NAMESPACE)["metadata"]["name"] == NAMESPACE, "somebody else's cluster was changed"
    for command in commands(given_up):
        subprocess.run(["sh", "-c", command], env={**os.environ, **env}, check=True)
    eventually(lambda: kubectl.run("get", "namespace", NAMESPACE).returncode, expected=1)


def commands(said: CommandResult) -> list[str]:
    found = [line.strip() for line in said.text.splitlines() if line.strip().startswith("kubectl --context")]
    assert found, said.text
    return found
