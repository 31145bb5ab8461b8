"""No rollout of a queue's pods during a session, unless a stack allows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.support.rollout_guard import rollout_error
from queues import Sessions

OPEN, CLOSED = datetime(2027, 3, 12, 15, 0, tzinfo=UTC), datetime(2027, 3, 13, 15, 0, tzinfo=UTC)
NEW_YORK = Sessions(calendar="XNYS", min_replicas=4, after=timedelta(minutes=30))


def deployment(image: str = "worker@sha256:1", **spec: object) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": image}]}}, **spec}}


def test_other_pods_during_a_session_are_refused_with_the_end_and_the_way_around() -> None:
    text = rollout_error("alphaswarm-worker-paper", NEW_YORK, deployment(), deployment("worker@sha256:2"), OPEN)
    assert text is not None
    assert "alphaswarm-worker-paper" in text
    assert "XNYS" in text
    assert "2027-03-12 21:30 UTC" in text
    assert "rollouts: anytime" in text


def test_other_pods_outside_sessions_are_no_concern() -> None:
    assert rollout_error("paper", NEW_YORK, deployment(), deployment("worker@sha256:2"), CLOSED) is None


def test_a_change_that_keeps_the_pods_is_no_concern() -> None:
    changed = deployment(revisionHistoryLimit=7)
    assert rollout_error("paper", NEW_YORK, deployment(), changed, OPEN) is None


def test_the_time_before_an_opening_counts() -> None:
    before = datetime(2027, 3, 12, 14, 20, tzinfo=UTC)
    assert rollout_error("paper", NEW_YORK, deployment(), deployment("worker@sha256:2"), before) is not None


@pytest.mark.parametrize("unread", [None, {}, {"spec": {}}])
def test_what_the_engine_cannot_say_counts_as_a_change(unread: dict[str, Any] | None) -> None:
    assert rollout_error("paper", NEW_YORK, unread, deployment(), OPEN) is not None
