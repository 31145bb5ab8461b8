"""The generated pages leave no key and no queue out."""

import re
from collections.abc import Iterator

from config.errors import Section
from config.schema import Settings
from queues import HEAVY_QUEUES, QUEUES
from surfaces.queue_matrix import queue_matrix
from surfaces.reference import configuration_reference


def _models(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for other in model.__subclasses__():
        yield from _models(other)


def _keys(page: str) -> set[str]:
    return set(re.findall(r"^\| `(fleet:[^`]+)`", page, flags=re.MULTILINE))


def test_every_key_of_every_section_is_on_the_page() -> None:
    last = {key.rsplit(".", 1)[-1].removeprefix("fleet:") for key in _keys(configuration_reference())}
    expected = {field.alias or name for model in _models(Section) for name, field in model.model_fields.items()}
    assert expected <= last, f"nobody learns of {sorted(expected - last)}"
    assert len(expected) > 50, "the sweep lost its models"


def test_a_key_is_spelt_as_in_the_file() -> None:
    keys = _keys(configuration_reference())
    assert {"fleet:environment", "fleet:broker.existingSecret", "fleet:scaling.<queue>.maxReplicas"} <= keys
    assert {"fleet:egress[].ports", "fleet:gpu.tolerations[].key", "fleet:brokerPassword"} <= keys
    assert not any("_" in key for key in keys)


def test_required_keys_and_defaults_are_told() -> None:
    rows = {line.split("`")[1]: line for line in configuration_reference().splitlines() if line.startswith("| `")}
    for name, field in Settings.model_fields.items():
        assert ("| required |" in rows[f"fleet:{field.alias or name}"]) is field.is_required(), name
    assert "| `6379` |" in rows["fleet:broker.port"]
    assert "| `per-queue` or `per-image` | `per-queue` |" in rows["fleet:layout"]


def test_every_link_inside_the_pages_leads_somewhere() -> None:
    page = configuration_reference()
    headings = {re.sub(r"[^\w -]", "", line[3:].lower()) for line in page.splitlines() if line.startswith("## ")}
    links = set(re.findall(r"\]\((?:configuration\.md)?#([^)]+)\)", page + queue_matrix()))
    assert links <= headings
    assert "fleetscaling" in links


def test_every_queue_stands_once_in_each_table_and_beside_its_image() -> None:
    rows = [line for line in queue_matrix().splitlines() if line.startswith("| `")]
    for queue in QUEUES.queues:
        own = [line for line in rows if line.startswith(f"| `{queue.name}` |")]
        assert len(own) == 2, queue.name
        assert ("alphaswarm-executor" in own[0]) is (queue.name in HEAVY_QUEUES), queue.name
    assert len(rows) == 2 * len(QUEUES.queues)
