"""Which queues a process may consume, and its limits."""

import json

import pytest
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import catalogue, environment, worker_profile
from alphaswarm_runtime.settings.worker_profile import WorkerProfile
from alphaswarm_runtime.transport import keys

from manifests.scaling import demand_keys
from queues import QUEUES
from tests.images.runtime.harness import SHIPPED

SHIPPED_CATALOGUE = SHIPPED / "alphaswarm_runtime" / "catalogue.json"
TUNED = {"ALPHASWARM_TIME_LIMIT": "4", "ALPHASWARM_GRACE_PERIOD": "5", "ALPHASWARM_VISIBILITY_TIMEOUT": "6"}


def profile(**environ: str) -> WorkerProfile:
    parsed = environment.read({"CELERY_APP": "sample", "ALPHASWARM_IMAGE": "worker", **environ})
    return worker_profile.create(parsed, catalogue.load())


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        profile(**environ)
    assert caught.value.exit_status == 78
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_catalogue_is_plain_json_with_sorted_keys() -> None:
    text = SHIPPED_CATALOGUE.read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_no_queue_belongs_to_two_images_and_none_to_nobody() -> None:
    loaded = catalogue.parse(SHIPPED_CATALOGUE.read_text())
    consumed = [queue for image in loaded.images.values() for queue in image.queues]
    assert sorted(consumed) == sorted(loaded.queues)
    assert all(name in loaded.images[row.image].queues for name, row in loaded.queues.items())


def test_a_queue_of_the_other_image_is_refused_naming_it_this_image_and_the_right_one() -> None:
    message = refusal(ALPHASWARM_QUEUES="default,backtest")
    assert "queue 'backtest' belongs to image 'executor'" in message
    assert "This is image 'worker'" in message


def test_an_unknown_queue_is_refused_and_every_wrong_one_named() -> None:
    message = refusal(ALPHASWARM_QUEUES="nope,training")
    assert "'nope' is not in the catalogue" in message
    assert "'training' belongs to image 'executor'" in message


def test_an_unknown_image_is_refused() -> None:
    assert "executor, worker" in refusal(ALPHASWARM_IMAGE="web")


def test_the_scaler_counts_the_keys_that_a_worker_reads_and_writes() -> None:
    for queue in QUEUES.queues:
        assert list(demand_keys(queue).values()) == [*keys.all_waiting([queue.name]), keys.unacked(queue.name)]


def test_several_queues_use_their_longest_times() -> None:
    rows = catalogue.load().queues
    both = profile(ALPHASWARM_QUEUES="default,terraform")
    assert both.grace_period == max(rows[name].grace_period for name in both.queue_names)
    assert both.queue("default").time_limit == rows["default"].time_limit


def test_concurrency_is_the_queues_the_images_or_what_was_asked() -> None:
    assert profile(ALPHASWARM_QUEUES="terraform").concurrency == 1
    assert profile().concurrency == 4
    assert profile(ALPHASWARM_CONCURRENCY="7").concurrency == 7


@pytest.mark.parametrize(
    ("key", "value", "constraint"),
    [
        ("ALPHASWARM_VISIBILITY_TIMEOUT", "5", "visibility timeout (5 s) must exceed the grace period (5 s)"),
        ("ALPHASWARM_GRACE_PERIOD", "4", "grace period (4 s) must exceed the time limit (4 s)"),
        ("ALPHASWARM_SOFT_SHUTDOWN", "5", "grace period (5 s) must exceed the soft shutdown (5 s)"),
    ],
)
def test_tuning_keeps_the_constraints(key: str, value: str, constraint: str) -> None:
    assert constraint in refusal(ALPHASWARM_QUEUES="default", **{**TUNED, key: value})


@pytest.mark.parametrize("text", ["-1", "0", "4.5", "four", "٤"])
def test_a_malformed_number_is_refused_by_its_variables_name(text: str) -> None:
    assert "ALPHASWARM_CONCURRENCY" in refusal(ALPHASWARM_CONCURRENCY=text)


@pytest.mark.parametrize(
    ("key", "value"), [("ALPHASWARM_LOG_FORMAT", "xml"), ("ALPHASWARM_LOG_LEVEL", "LOUD"), ("CELERY_APP", "")]
)
def test_other_settings_are_refused_by_their_variables_name(key: str, value: str) -> None:
    assert key in refusal(**{key: value})


@pytest.mark.parametrize("text", ["{", "[]", '{"images": {}}', '{"images": {}, "queues": {"a": {"new": 1}}}'])
def test_a_catalogue_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"catalogue\.json"):
        catalogue.parse(text)
