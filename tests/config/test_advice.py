"""What a preview warns of: work that could be lost or never done, said once, and silent where it was thought of."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from config.advice import advice
from config.loading import parse
from tests.own_rows import OWN_ROWS, catalogue
from tests.program.harness import configuration

CLAIM = {"kind": "claim", "claim": "kept"}


@pytest.fixture(scope="module", autouse=True)
def _own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


def warnings(**sections: Any) -> list[str]:  # noqa: ANN401 any configuration
    return list(advice(parse(configuration("dev", **{"scaling": {}, **sections}))))


def test_tasks_that_resume_need_what_they_left_behind() -> None:
    (said,) = warnings()
    assert said.startswith("A pod of gpu, resumes that stops re-queues its tasks")
    assert "/app/data, /app/models" in said
    assert "fleet:volumes" in said


@pytest.mark.parametrize(
    ("volumes", "still"),
    [
        ({"/app/data": CLAIM}, ""),
        ({"/app/models": CLAIM}, "resumes"),
        ({"/app/models": {**CLAIM, "queues": ["heavy"]}}, "gpu, resumes"),
        ({"/app/data": {"kind": "ephemeral", "size": "1Gi"}}, "gpu, resumes"),
    ],
)
def test_a_lasting_volume_ends_the_warning_for_the_queues_that_have_it(volumes: dict[str, Any], still: str) -> None:
    found = warnings(volumes=volumes)
    assert [text.removeprefix("A pod of ").partition(" that stops")[0] for text in found] == ([still] if still else [])


def test_a_spot_instance_ends_before_a_long_grace_period_does() -> None:
    pods = {"worker": {"evictable": True}}
    found = [text for text in warnings(pods=pods) if "spot" in text]
    assert len(found) == 4
    assert "Pods of usual are evictable and have 660 s to stop" in found[0]
    short = {"usual": {"timeLimit": 60, "gracePeriod": 100}}
    assert not [
        text for text in warnings(pods={"queues": {"usual": {"evictable": True}}}, scaling=short) if "spot" in text
    ]


def test_gpus_are_no_use_to_torch_for_processors() -> None:
    gpu = {"count": 1}
    assert [text for text in warnings(gpu=gpu) if "torch for processors only" in text]
    cuda = {"source": "build", "buildArgs": {"MORE_EXTRAS": "ml-torch-cuda"}}
    assert not [text for text in warnings(gpu=gpu, images=cuda) if "torch" in text]
    own = {"source": "build", "extras": {"executor": ["ml-torch-cuda"]}}
    assert not [text for text in warnings(gpu=gpu, images=own) if "torch" in text]
    promoted = {"source": "promote", "stack": "a/b/c"}
    assert not [text for text in warnings(gpu=gpu, images=promoted, registry=None) if "torch" in text]


@pytest.mark.parametrize(("notice", "warns"), [(timedelta(days=36_500), True), (timedelta(days=-36_500), False)])
def test_a_calendar_whose_holidays_are_soon_unknown_is_named(
    monkeypatch: pytest.MonkeyPatch, notice: timedelta, warns: bool
) -> None:
    monkeypatch.setattr("config.advice.CALENDAR_NOTICE", notice)
    sessions = {"calendar": "XNYS", "minReplicas": 5}
    found = [text for text in warnings(scaling={"awake": {"sessions": sessions}}) if "XNYS" in text]
    assert [text.startswith("The holidays of XNYS are known until 2031-12-31 alone") for text in found] == [
        True
    ] * warns


def test_a_claim_that_is_mounted_elsewhere_keeps_what_tasks_left_behind_too() -> None:
    claim = {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}
    mount = {"name": "kept", "mountPath": "/checkpoints"}
    (said,) = warnings(pods={"queues": {"gpu": {"volumes": [claim], "volumeMounts": [mount]}}})
    assert said.startswith("A pod of resumes that stops")
    to_read = {"name": "kept", "persistentVolumeClaim": {"claimName": "kept", "readOnly": True}}
    for volume, mounted in ((claim, {**mount, "readOnly": True}), (to_read, mount)):
        read = {"gpu": {"volumes": [volume], "volumeMounts": [mounted]}}
        assert warnings(pods={"queues": read})[0].startswith("A pod of gpu, resumes")


def test_a_result_backend_elsewhere_must_be_reachable() -> None:
    broker = {
        "kind": "external", "host": "redis.example.com", "existingSecret": "redis",
        "resultUrl": {"secret": "results", "key": "url"},
    }  # fmt: skip
    assert [text for text in warnings(broker=broker) if "fleet:egress" in text]
    egress = [{"cidr": "10.0.0.0/8", "ports": [5432]}]
    assert not [text for text in warnings(broker=broker, egress=egress) if "fleet:egress" in text]


def test_intervals_of_a_queue_that_always_has_a_pod_change_nothing() -> None:
    tuned = {"usual": {"pollingInterval": 5}, "heavy": {"minReplicas": 1, "cooldownPeriod": 60}}
    said = [text for text in warnings(scaling=tuned) if "pollingInterval" in text]
    assert [text.partition(" ")[0] for text in said] == ["heavy"]
