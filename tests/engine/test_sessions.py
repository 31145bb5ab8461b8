"""During a session of its exchange an update leaves a queue's pods alone, and a preview says so before."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from queues import QUEUES, ScaleDown

from .fleet import Fleet, applied_steps

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

QUEUE = next(queue for queue in QUEUES.queues if queue.scale_down is ScaleDown.ALLOWED)
OTHER = next(queue for queue in QUEUES.queues if queue is not QUEUE and queue.scale_down is ScaleDown.ALLOWED)
DEPLOYMENT = f"Deployment/{QUEUE.deployment}"
SCALER = f"ScaledObject/{QUEUE.deployment}"
REFUSED = "this would replace its pods during a session of XNYS"


@pytest.fixture(scope="module", autouse=True)
def _always_open(running_fleet: Fleet) -> Iterator[None]:
    """Have an exchange that is open around the clock in the checkout."""
    file = running_fleet.checkout.folder / "config" / "exchange_calendars.json"
    kept = file.read_text()
    rows = json.loads(kept)
    always = {"weekdays": [1, 2, 3, 4, 5, 6, 7], "hours": "00:00-00:00", "holidays": {}, "special": {}}
    file.write_text(json.dumps({**rows, "XNYS": {**rows["XNYS"], **always}}))
    yield
    file.write_text(kept)


def tuning(more: int = 0, **sessions: str) -> dict[str, Any]:
    """Sessions for the queue, and more seconds of grace, with which its pods are others."""
    grace = {"gracePeriod": int(QUEUE.grace_period.total_seconds()) + more} if more else {}
    return {QUEUE.name: {"sessions": {"calendar": "XNYS", "minReplicas": QUEUE.max_replicas, **sessions}, **grace}}


def test_pods_stay_as_they_are_until_the_session_ends_or_the_stack_says_otherwise(fleet: Fleet) -> None:
    fleet.configure(scaling=tuning())
    fleet.up().ok()  # its pods stay the same
    before = fleet.objects()
    assert "sessionPods" in before[SCALER]["spec"]["advanced"]["scalingModifiers"]["formula"]

    fleet.configure(scaling=tuning(more=60))
    preview = fleet.pulumi("preview").ok()
    assert f"{QUEUE.deployment}: {REFUSED}" in preview.text
    refused = fleet.up()
    assert refused.status != 0
    assert REFUSED in refused.text
    assert "Traceback" not in refused.text
    assert fleet.objects()[DEPLOYMENT] == before[DEPLOYMENT], "pods were replaced"

    fleet.configure(scaling=tuning(more=60, rollouts="anytime"))
    assert REFUSED not in fleet.pulumi("preview").ok().text
    fleet.up().ok()
    assert fleet.objects()[DEPLOYMENT] != before[DEPLOYMENT]


def test_other_queues_are_updated_all_the_same(fleet: Fleet) -> None:
    fleet.configure(scaling=tuning())
    fleet.up().ok()
    grace = int(OTHER.grace_period.total_seconds()) + 60
    fleet.configure(scaling={**tuning(), OTHER.name: {"gracePeriod": grace}})
    assert REFUSED not in fleet.pulumi("preview").ok().text
    assert ("update", "Deployment", OTHER.deployment) in applied_steps(fleet.up().ok())


def test_a_stack_with_sessions_is_destroyed_without_a_word(fleet: Fleet) -> None:
    fleet.configure(scaling=tuning())
    fleet.up().ok()
    destroyed = fleet.pulumi("destroy", "--yes", "--skip-preview").ok()
    assert REFUSED not in destroyed.text
