"""The invariant: a queue is never drained by both images. Held against what the program registers."""

import json
from collections import Counter
from functools import cached_property

import pytest

from queues import HEAVY_QUEUES, QUEUES, WORKER_QUEUES, Catalogue
from surfaces.dockerfiles import dockerfiles
from surfaces.queue_matrix import queue_matrix
from surfaces.runtime_catalogue import runtime_catalogue
from tests.own_rows import OWN_ROWS, catalogue
from tests.program.harness import (
    LAYOUTS,
    ROOT,
    STACKS,
    built_images,
    configuration,
    container,
    program,
    queues_of,
    run,
    secrets_of,
)

DNS_LABEL = str.maketrans("_.", "--")

every_stack_and_layout = pytest.mark.parametrize(
    ("stack", "layout"), [(stack, layout) for stack in STACKS for layout in LAYOUTS]
)
in_preview_and_update = pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])


def image_of(deployment_image: str) -> str:
    """`worker` for `registry/alphaswarm-worker@sha256:…`."""
    repository, _, digest = deployment_image.partition("@")
    assert digest.startswith("sha256:"), f"{deployment_image} is no reference by digest"
    return repository.rpartition("/")[2].removeprefix("alphaswarm-")


@every_stack_and_layout
@in_preview_and_update
def test_every_queue_is_drained_by_exactly_one_deployment(stack: str, layout: str, preview: bool) -> None:
    workers = program(stack, layout, preview=preview).workers()
    drained = Counter(queue for deployment in workers.values() for queue in queues_of(deployment))
    assert drained == Counter(QUEUES.names), "a queue is drained twice, or by nobody"
    assert len(workers) == (len(QUEUES.names) if layout == "per-queue" else 2)


@every_stack_and_layout
def test_no_image_drains_a_queue_of_the_other(stack: str, layout: str) -> None:
    drained: dict[str, set[str]] = {"worker": set(), "executor": set()}
    for deployment in program(stack, layout).workers().values():
        drained[image_of(container(deployment)["image"])] |= set(queues_of(deployment))
    assert drained == {"worker": WORKER_QUEUES, "executor": HEAVY_QUEUES}, (
        "slim pods would run heavy tasks, or the reverse"
    )


@every_stack_and_layout
def test_a_deployment_its_account_and_its_labels_name_the_image_it_runs(stack: str, layout: str) -> None:
    for name, deployment in program(stack, layout).workers().items():
        image = image_of(container(deployment)["image"])
        pod = deployment["spec"]["template"]
        assert name.startswith(f"alphaswarm-{image}")
        assert pod["spec"]["serviceAccountName"] == f"alphaswarm-{image}", "pods would get the other image's role"
        assert pod["metadata"]["labels"]["alphaswarm.io/image"] == image
        assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == f"alphaswarm-{image}"


@pytest.mark.parametrize("stack", STACKS)
def test_a_queues_deployment_is_named_after_image_and_queue(stack: str) -> None:
    names = {
        f"alphaswarm-{'executor' if queue in HEAVY_QUEUES else 'worker'}-{queue.lower().translate(DNS_LABEL)}": queue
        for queue in QUEUES.names
    }
    workers = program(stack, "per-queue").workers()
    assert {name: queues_of(deployment) for name, deployment in workers.items()} == {
        name: [queue] for name, queue in names.items()
    }
    for name, deployment in workers.items():
        assert deployment["metadata"]["labels"]["alphaswarm.io/queue"] == names[name]


class OneMoreHeavy(Catalogue):
    """A catalogue in which HEAVY_QUEUES has the first queue of the worker too, against its row."""

    @cached_property
    def heavy_queues(self) -> frozenset[str]:
        return super().heavy_queues | {self.queues[0].name}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_heavy_queues_are_asked_and_nothing_else_who_drains_a_queue(layout: str) -> None:
    rows = OneMoreHeavy(OWN_ROWS.queues)
    assert rows.queues[0].image.name == "alphaswarm-worker"
    with catalogue(rows):
        found = run(configuration("dev", scaling={}, layout=layout), secrets_of("dev"))
        shipped, page, arguments = json.loads(runtime_catalogue()), queue_matrix(), dockerfiles(ROOT)
    drained: dict[str, set[str]] = {"worker": set(), "executor": set()}
    for deployment in found.workers().values():
        drained[image_of(container(deployment)["image"])] |= set(queues_of(deployment))
    assert drained == {"worker": rows.names - rows.heavy_queues, "executor": rows.heavy_queues}
    for queue in rows.names:
        image = "executor" if queue in rows.heavy_queues else "worker"
        assert found.exports["queues"][queue]["image"] == f"alphaswarm-{image}"
        assert shipped["queues"][queue]["image"] == image
        assert queue in shipped["images"][image]["queues"]
        assert f"| `{queue}` | alphaswarm-{image} |" in page
        label = arguments["images/Dockerfile"].partition(f"ARG {image.upper()}_QUEUES=")[2].splitlines()[0]
        assert queue in label.strip('"').split(",")
    assert set(found.exports["heavyQueues"]) == rows.heavy_queues


@pytest.mark.parametrize("stack", STACKS)
def test_an_images_deployment_bears_the_images_name(stack: str) -> None:
    assert set(program(stack, "per-image").workers()) == {"alphaswarm-worker", "alphaswarm-executor"}


@every_stack_and_layout
@in_preview_and_update
def test_the_stack_exports_the_matrix_that_it_runs(stack: str, layout: str, preview: bool) -> None:
    found = program(stack, layout, preview=preview)
    assert found.exports["heavyQueues"] == sorted(HEAVY_QUEUES)
    rows = found.exports["queues"]
    assert set(rows) == QUEUES.names
    for queue, row in rows.items():
        deployment = found.manifest("Deployment", row["deployment"])
        assert queue in queues_of(deployment), f"the matrix sends readers of {queue} to the wrong Deployment"
        assert row["reference"] == container(deployment)["image"]
        assert row["image"] == ("alphaswarm-executor" if queue in HEAVY_QUEUES else "alphaswarm-worker")
        scaler = found.manifest(
            "ScaledObject" if layout == "per-queue" else "HorizontalPodAutoscaler", row["deployment"]
        )["spec"]
        bounds = (
            scaler.get("minReplicaCount", scaler.get("minReplicas")),
            scaler.get("maxReplicaCount", scaler.get("maxReplicas")),
        )
        assert (row["minReplicas"], row["maxReplicas"]) == bounds


@every_stack_and_layout
def test_the_exports_tell_namespace_layout_broker_and_repositories(stack: str, layout: str) -> None:
    exports = program(stack, layout).exports
    assert set(exports) == {
        "namespace", "layout", "brokerAddress", "heavyQueues", "images", "executorHasCuda", "repositoryUrls",
        "queues",
    }  # fmt: skip
    assert (exports["namespace"], exports["layout"]) == ("alphaswarm", layout)
    host = "redis.alphaswarm.svc.cluster.local" if stack == "local" else f"redis.{stack}.alphaswarm.example"
    assert exports["brokerAddress"] == f"{host}:6379"
    assert set(exports["images"]) == set(exports["repositoryUrls"]) == set(built_images())
    for image, reference in exports["images"].items():
        assert reference.split("@")[0] == exports["repositoryUrls"][image]


@every_stack_and_layout
def test_beat_runs_once_from_the_worker_image_and_drains_nothing(stack: str, layout: str) -> None:
    beat = program(stack, layout).manifest("Deployment", "alphaswarm-beat")
    assert beat["spec"]["replicas"] == 1
    assert beat["spec"]["strategy"] == {"type": "Recreate"}, "two schedulers at once send every job twice"
    assert image_of(container(beat)["image"]) == "worker"
    assert container(beat)["args"] == ["beat"]
    assert "ALPHASWARM_QUEUES" not in {variable["name"] for variable in container(beat)["env"]}
