"""The number of pods is the scaler's: a new queue begins at its least, and no update sets the number."""

import json
from collections.abc import Iterator

import pytest

from queues import QUEUES, ScaleDown

from .fleet import NAMESPACE, Fleet

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

TO_ZERO = [queue for queue in QUEUES.queues if queue.min_replicas == 0 and queue.scale_down is ScaleDown.ALLOWED]
QUEUE = TO_ZERO[0]
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


@pytest.fixture
def paused(fleet: Fleet) -> Iterator[None]:
    """Keep KEDA from scaling the queue."""
    annotate = ("-n", NAMESPACE, "annotate", "scaledobject", QUEUE.deployment)
    assert fleet.kubectl.run(*annotate, "autoscaling.keda.sh/paused=true").returncode == 0
    yield
    assert fleet.kubectl.run(*annotate, "autoscaling.keda.sh/paused-").returncode == 0


def replicas(fleet: Fleet) -> int:
    found: int = fleet.kubectl.get("-n", NAMESPACE, "deployment", QUEUE.deployment)["spec"]["replicas"]
    return found


def test_no_pod_was_ever_asked_for_where_nothing_waits(fleet: Fleet) -> None:
    events = fleet.kubectl.get("-n", NAMESPACE, "events", "--field-selector", "reason=ScalingReplicaSet")["items"]
    scaled_up = {event["involvedObject"]["name"] for event in events if "Scaled up" in event["message"]}
    assert scaled_up >= {queue.deployment for queue in QUEUES.queues if queue.min_replicas}
    idle = {queue.deployment for queue in QUEUES.queues if queue.min_replicas == 0 and queue.gpus}
    assert idle
    assert not scaled_up & idle, "a GPU node would be started for a pod that nobody wants"


@pytest.mark.usefixtures("paused")
def test_an_update_of_the_pods_leaves_their_number(fleet: Fleet) -> None:
    scaled = fleet.kubectl.run("-n", NAMESPACE, "scale", f"deployment/{QUEUE.deployment}", "--replicas=3")
    assert scaled.returncode == 0, scaled.stderr
    fleet.configure(scaling={QUEUE.name: {"gracePeriod": int(QUEUE.grace_period.total_seconds()) + 60}})
    fleet.up().ok()
    assert replicas(fleet) == 3
    assert fleet.preview_steps("--refresh") == set()


@pytest.mark.usefixtures("paused")
def test_an_update_before_the_first_pod_leaves_it_at_zero(fleet: Fleet) -> None:
    fleet.configure(scaling={QUEUE.name: {"gracePeriod": int(QUEUE.grace_period.total_seconds()) + 120}})
    fleet.up().ok()
    assert replicas(fleet) == 0


def test_a_stack_from_before_gets_no_number_either(fleet: Fleet) -> None:
    stack, workers = fleet.stack, {queue.deployment for queue in QUEUES.queues}
    exported = json.loads(stack.engine.capture("stack", "export", "--stack", fleet.name, cwd=stack.folder))
    changed = [one for one in exported["deployment"]["resources"] if one["type"] == DEPLOYMENT]
    for resource in changed:
        if resource["inputs"]["metadata"]["name"] in workers:
            del resource["inputs"]["spec"]["replicas"]
            del resource["ignoreChanges"]
    file = fleet.checkout.folder.with_suffix(".before.json")
    file.write_text(json.dumps(exported))
    fleet.mark_changed()
    stack.engine.capture("stack", "import", "--stack", fleet.name, "--file", str(file), cwd=stack.folder)
    assert fleet.preview_steps() == set()
    fleet.up("--expect-no-changes").ok()
