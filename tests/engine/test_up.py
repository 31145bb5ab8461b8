"""What `up` makes, and that nothing is left to do afterwards."""

from collections import Counter

import pytest

from config.loading import parse
from config.schema import BROKER_PASSWORD
from manifests.plan import PlanInputs, plan
from queues import IMAGES, QUEUES
from surfaces.base_settings import BARE_IMAGES
from tests.waiting import eventually

from .checkout import CommandResult
from .fleet import NAMESPACE, Fleet

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

REPOSITORIES = {"Repository": len(IMAGES), "LifecyclePolicy": len(IMAGES)}


def planned_kinds(fleet: Fleet) -> Counter[str]:
    """Return how many objects of each kind the plan has, its Secret among them."""
    configured = fleet.checkout.config(fleet.name)
    plain = {key.removeprefix("fleet:"): value for key, value in configured.items()}
    settings = parse(plain, frozenset({BROKER_PASSWORD}))
    units = plan(settings, PlanInputs(BARE_IMAGES, "a password"))
    return Counter(planned.manifest["kind"] for unit in units for planned in unit.objects)


def test_up_makes_every_resource_of_the_fleet_and_no_other(fleet: Fleet) -> None:
    made = Counter(resource["type"].rpartition(":")[2] for resource in fleet.state() if resource.get("custom"))
    made -= Counter({"kubernetes": 1, "aws": 1})  # the providers
    planned = planned_kinds(fleet)
    assert made == planned + Counter(REPOSITORIES)
    in_cluster = Counter(key.partition("/")[0] for key in fleet.objects())
    assert {kind: in_cluster[kind] for kind in in_cluster & planned} == {kind: planned[kind] for kind in in_cluster}


def test_keda_accepts_and_reads_every_scaler(fleet: Fleet) -> None:
    eventually(lambda: scalers_ready(fleet), {queue.deployment: "True" for queue in QUEUES.queues}, pause=0.5)


def scalers_ready(fleet: Fleet) -> dict[str, str]:
    found = fleet.kubectl.get("-n", NAMESPACE, "scaledobjects")["items"]
    return {
        item["metadata"]["name"]: condition["status"]
        for item in found
        for condition in item.get("status", {}).get("conditions", ())
        if condition["type"] == "Ready"
    }


def test_both_repositories_keep_tags_scan_and_forget_old_images(fleet: Fleet) -> None:
    found = fleet.repositories()
    assert set(found) == {image.name for image in IMAGES}
    for name, repository in found.items():
        assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION", name
        assert repository["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "cache-*"}]
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}, name
        assert repository["encryptionConfiguration"]["encryptionType"] == "AES256", name
        assert len(repository["lifecycle"]["rules"]) == 3, name


def test_pods_run_the_digests_that_the_stack_is_given(fleet: Fleet) -> None:
    images = fleet.checkout.config("local")["fleet:images"]
    for queue in QUEUES.queues:
        pod = fleet.objects()[f"Deployment/{queue.deployment}"]["spec"]["template"]["spec"]
        expected = images[queue.image.target]
        assert [container["image"] for container in pod["containers"]] == [expected], queue.name


def test_a_second_up_changes_nothing(fleet: Fleet) -> None:
    before = fleet.objects()
    result = fleet.up("--expect-no-changes").ok()
    assert unchanged(result) == len(fleet.state())
    assert fleet.objects() == before


def test_a_preview_after_up_shows_nothing_to_do(fleet: Fleet) -> None:
    assert fleet.preview_steps() == set()
    assert fleet.preview_steps("--refresh") == set(), "what servers fill in shows as a difference"


def unchanged(result: CommandResult) -> int:
    words = result.out[result.out.index("Resources:") :].split()
    return int(words[words.index("unchanged") - 1])
