"""The example NodePools: a node waits as long as its longest task may, and each queue has nodes to run on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loading import parse
from queues import IMAGES, QUEUES, Queue
from surfaces.karpenter import karpenter_node_pools
from tests.own_rows import OWN_ROWS, catalogue
from tests.program.harness import built_images, configuration, written_objects


def pools() -> Mapping[str, Mapping[str, Any]]:
    """Each NodePool by the label of its nodes."""
    found = [yaml.safe_load(text) for text in karpenter_node_pools().values()]
    return {pool["spec"]["template"]["metadata"]["labels"]["alphaswarm.io/nodes"]: pool for pool in found}


def seconds(pool: Mapping[str, Any]) -> int:
    text: str = pool["spec"]["template"]["spec"]["terminationGracePeriod"]
    assert re.fullmatch(r"[0-9]+s", text)
    return int(text[:-1])


def nodes_of(queue: Queue) -> str:
    return "gpu" if queue.gpus else queue.image.target


def test_a_node_waits_as_long_as_any_pod_on_it_gets_to_stop() -> None:
    for queue in QUEUES.queues:
        assert seconds(pools()[nodes_of(queue)]) >= queue.grace_period.total_seconds(), queue.name


def test_a_longer_queue_makes_its_own_nodes_wait_longer_and_no_others() -> None:
    with catalogue(OWN_ROWS):
        found = {name: seconds(pool) for name, pool in pools().items()}
    assert found == {"worker": 7500, "executor": 3700, "gpu": 2100}


def test_a_pool_allows_the_old_and_the_new_pods_of_a_rollout() -> None:
    for image in IMAGES:
        most = sum(queue.max_replicas for queue in QUEUES.of(image) if not queue.gpus)
        limit = float(pools()[image.target]["spec"]["limits"]["cpu"])
        assert limit >= 2 * most * {"500m": 0.5, "1": 1}[image.requests.cpu]


@pytest.mark.parametrize("queue", QUEUES.queues, ids=lambda queue: queue.name)
def test_the_selectors_that_the_files_name_bring_each_queue_to_its_pool(queue: Queue) -> None:
    selectors = {image.target: {"nodeSelector": {"alphaswarm.io/nodes": image.target}} for image in IMAGES}
    gpu = {"count": 1, "nodeSelector": {"alphaswarm.io/nodes": "gpu"}, "tolerations": [{"key": "nvidia.com/gpu"}]}
    settings = parse(configuration("dev", pods=selectors, gpu=gpu))
    for text in karpenter_node_pools().values():
        assert re.search(r"alphaswarm\.io/nodes: (worker|executor|gpu)\}", text)
    (deployment,) = (
        one
        for one in written_objects(settings, built_images())
        if one["kind"] == "Deployment" and one["metadata"]["name"] == queue.deployment
    )
    pod = deployment["spec"]["template"]["spec"]
    pool = pools()[nodes_of(queue)]
    assert pod["nodeSelector"] == pool["spec"]["template"]["metadata"]["labels"]
    tolerated = {toleration["key"] for toleration in pod.get("tolerations", ())}
    assert {taint["key"] for taint in pool["spec"]["template"]["spec"].get("taints", ())} <= tolerated


def test_the_committed_files_are_these(root: Path) -> None:
    folder = root / "deploy/karpenter"
    assert {file.name for file in folder.iterdir()} == set(karpenter_node_pools())
