"""Several queues in one pod: every number suits the most demanding of them."""

from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.loading import parse
from config.schema import Settings
from config.tuning import tuned_catalogue
from manifests.workload import image_workload, queue_workload
from queues import EXECUTOR, IMAGES, QUEUES, WORKER, Catalogue, Priority, ScaleDown
from tests.own_rows import OWN_ROWS, catalogue
from tests.program.harness import configuration


def settings(**changes: Any) -> Settings:  # noqa: ANN401 any configuration
    """The stack `dev`, changed."""
    return parse(configuration("dev", **{"scaling": {}, **changes}))


def test_an_images_pod_takes_the_longest_times_and_the_highest_priority_of_its_queues() -> None:
    with catalogue(OWN_ROWS):
        worker, executor = (image_workload(settings(), image) for image in (WORKER, EXECUTOR))
    assert (worker.grace_period.total_seconds(), executor.grace_period.total_seconds()) == (7500, 3700)
    assert (worker.visibility_timeout.total_seconds(), executor.visibility_timeout.total_seconds()) == (28800, 50400)
    assert (worker.time_limit.total_seconds(), executor.time_limit.total_seconds()) == (25200, 43200)
    assert (worker.priority, executor.priority) == (Priority.LATENCY, Priority.STANDARD)
    assert worker.scale_down is executor.scale_down is ScaleDown.DISABLED
    assert (worker.concurrency, executor.concurrency) == (WORKER.concurrency, EXECUTOR.concurrency)


def test_a_queues_own_pod_keeps_the_rows_numbers() -> None:
    for queue in QUEUES.queues:
        workload = queue_workload(queue)
        assert workload.only_queue is queue
        assert (workload.name, workload.image) == (queue.deployment, queue.image)
        assert (workload.grace_period, workload.time_limit, workload.soft_shutdown) == (
            queue.grace_period, queue.time_limit, queue.soft_shutdown,
        )  # fmt: skip
        assert (workload.min_replicas, workload.max_replicas, workload.concurrency) == (
            *queue.replicas,
            queue.concurrency,
        )


def test_an_images_own_pod_drains_all_its_queues_in_the_catalogues_order() -> None:
    for image in IMAGES:
        assert [queue.name for queue in image_workload(settings(), image).queues] == [
            queue.name for queue in QUEUES.of(image)
        ]
        assert image_workload(settings(), image).only_queue is None


@given(st.integers(1, 40))
@hypothesis_settings(max_examples=20)
def test_an_image_never_asks_for_more_gpus_than_there_are(count: int) -> None:
    with catalogue(OWN_ROWS):
        executor, worker = (image_workload(settings(gpu={"count": count}), image) for image in (EXECUTOR, WORKER))
    assert executor.gpus == 1
    assert 1 <= executor.max_replicas <= count, "pods would wait for a GPU that nobody has"
    assert worker.gpus == 0


def test_without_soft_shutdowns_a_pod_waits_for_all_its_tasks() -> None:
    with catalogue(OWN_ROWS):
        assert queue_workload(tuned_catalogue(settings()).queue("usual")).soft_shutdown is None
        assert image_workload(settings(), WORKER).soft_shutdown is not None, "one of its queues re-queues"


def test_a_node_can_be_drained_of_an_image_whose_only_queue_is_never_scaled_in() -> None:
    rows = Catalogue((OWN_ROWS.queue("spared"), OWN_ROWS.queue("heavy")))
    with catalogue(rows):
        assert queue_workload(rows.queue("spared")).uninterruptible
        assert not image_workload(settings(), WORKER).uninterruptible, "its HPA keeps a pod that nothing could end"
