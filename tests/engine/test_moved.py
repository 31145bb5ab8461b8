"""A state that an earlier release left is taken over without touching an object of the cluster."""

import json
from pathlib import Path
from typing import Any

import pytest

from queues import QUEUES

from .fleet import Fleet, assert_same

pytestmark = [pytest.mark.engine, pytest.mark.cluster]
WORKER = "alphaswarm:fleet:QueueWorker"
SCALER = "alphaswarm:fleet:QueueScaler"


def as_an_earlier_release_left_it(state: dict[str, Any]) -> dict[str, Any]:
    """Hang each ScaledObject below a QueueScaler of its own, as it was until the plan registered it."""
    resources = state["deployment"]["resources"]
    moved: list[dict[str, Any]] = []
    for resource in resources:
        if resource["type"] == "kubernetes:keda.sh/v1alpha1:ScaledObject":
            name = resource["urn"].rpartition("::")[2]
            scaler = resource["parent"].replace(WORKER, f"{WORKER}${SCALER}").rpartition("::")[0] + f"::{name}"
            moved.append({"urn": scaler, "custom": False, "type": SCALER, "parent": resource["parent"]})
            before = resource["urn"].replace(f"{WORKER}$kubernetes", f"{WORKER}${SCALER}$kubernetes")
            resource |= {"urn": before, "parent": scaler}
        moved.append(resource)
    state["deployment"]["resources"] = moved
    return state


def test_scalers_of_an_earlier_release_keep_their_objects(fleet: Fleet, tmp_path: Path) -> None:
    expected, engine, folder = fleet.snapshot(), fleet.stack.engine, fleet.stack.folder
    uids = scaled_object_uids(fleet)
    fleet.mark_changed()
    exported = json.loads(engine.capture("stack", "export", "--stack", fleet.name, cwd=folder))
    file = tmp_path / "state.json"
    file.write_text(json.dumps(as_an_earlier_release_left_it(exported)))
    engine.capture("stack", "import", "--stack", fleet.name, "--file", str(file), cwd=folder)
    assert fleet.preview_steps() == {("delete", "QueueScaler", queue.deployment) for queue in QUEUES.queues}
    fleet.up().ok()
    assert_same(fleet.snapshot(), expected)
    assert scaled_object_uids(fleet) == uids, "a scaler was deleted and made anew: its queue had none for a while"
    assert fleet.preview_steps() == set()


def scaled_object_uids(fleet: Fleet) -> dict[str, str]:
    items = fleet.kubectl.get("-n", "alphaswarm", "scaledobjects")["items"]
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}
