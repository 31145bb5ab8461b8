"""The topology and the image catalogue: what runs where, as somebody else's service map wants it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loading import parse
from config.schema import Settings
from queues import IMAGES, QUEUES, WORKER
from surfaces.image_catalogue import image_catalogue
from surfaces.topology import topologies
from tests.program.harness import configuration

ROOT = Path(__file__).parents[2]


def entries(settings: Settings) -> dict[str, dict[str, Any]]:
    """A topology's entries by id."""
    (text,) = topologies({"dev": settings}).values()
    found = yaml.safe_load(text)["entries"]
    by_id = {entry["id"]: entry for entry in found}
    assert len(by_id) == len(found), "an id is there twice"
    return by_id


def settings(**sections: Any) -> Settings:  # noqa: ANN401 any configuration
    return parse(configuration("dev", scaling={}, **sections))


@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_there_is_an_entry_for_each_deployment_and_the_broker(layout: str) -> None:
    found = entries(settings(layout=layout))
    names = {queue.deployment for queue in QUEUES.queues} if layout == "per-queue" else {one.name for one in IMAGES}
    assert found.keys() == {*names, "alphaswarm-beat", "redis"}
    drained = [queue for entry in found.values() for queue in entry["queues"]]
    assert sorted(drained) == sorted(QUEUES.names), "a queue has no entry, or two"
    assert {entry["image"] for entry in found.values() if entry["queues"]} == {image.name for image in IMAGES}


def test_who_is_asked_and_who_asks() -> None:
    found = entries(settings(metrics={"enabled": True}))
    for name, entry in found.items():
        if name != "redis":
            assert entry["talks_to"] == ["redis"]
            assert "http" in entry["protocols"]
            assert entry["endpoints"] == ["http://:9100/metrics"]
    assert found["redis"]["talks_to"] == []
    silent = entries(settings(metrics={"enabled": False}))
    assert all(entry["endpoints"] == [] for name, entry in silent.items() if name != "redis")


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ({"kind": "in-cluster"}, ("redis://redis.alphaswarm.svc.cluster.local:6379/0", "alphaswarm")),
        (
            {"kind": "external", "host": "redis.example.com", "port": 6380, "database": 3, "existingSecret": "theirs"},
            ("rediss://redis.example.com:6380/3", "external"),
        ),
    ],
)
def test_the_broker_is_where_the_stack_says(broker: Mapping[str, Any], expected: tuple[str, str]) -> None:
    secrets = frozenset({"brokerPassword"}) if broker["kind"] == "in-cluster" else frozenset()
    redis = entries(parse(configuration("dev", scaling={}, broker=broker), secrets))["redis"]
    assert (redis["endpoints"][0], redis["namespace"]) == expected


def test_beat_runs_the_workers_image_and_drains_nothing() -> None:
    roles = yaml.safe_load(image_catalogue())["images"]
    assert list(roles) == ["worker", "beat", "executor"]
    assert roles["beat"]["target"] == roles["worker"]["target"] == WORKER.target
    assert "queues" not in roles["beat"]
    for role in roles.values():
        for path in (role["dockerfile"], role["standalone"]):
            assert (ROOT / path).is_file()
