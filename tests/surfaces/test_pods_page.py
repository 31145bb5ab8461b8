"""docs/pods.md: each example is read as a part of a stack's file, and makes objects."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loading import parse
from queues import QUEUES
from tests.program.harness import built_images, configuration, written_objects

PAGE = (Path(__file__).parents[2] / "docs/pods.md").read_text()
EXAMPLES = re.findall(r"^##+ ([^\n]+)$|^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

NAMED = frozenset(re.findall(r"^    ([a-z]+):\n      (?:threads|maxTasks|evictable)", PAGE, re.MULTILINE))


def examples() -> Mapping[str, Mapping[str, Any]]:
    """Each example by the heading above it."""
    found: dict[str, Mapping[str, Any]] = {}
    heading = ""
    for title, text in EXAMPLES:
        heading = title or heading
        if text:
            found[heading] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("heading", examples())
def test_an_example_can_stand_in_a_stacks_file(heading: str) -> None:
    if NAMED - QUEUES.names:
        pytest.skip(f"the catalogue lacks queues that the page names: {sorted(NAMED - QUEUES.names)}")
    sections = {key.removeprefix("fleet:"): value for key, value in examples()[heading].items()}
    settings = parse(configuration("prod", scaling={}, **sections))
    plain = written_objects(parse(configuration("prod", scaling={})), built_images())
    assert written_objects(settings, built_images()) != plain, "it changes nothing"


def test_every_need_on_the_page_has_an_example() -> None:
    assert len(examples()) == PAGE.count("```yaml\n") == 8


def test_the_page_says_how_many_threads_there_are_by_default() -> None:
    threads = {
        image: {
            variable["value"]
            for one in written_objects(parse(configuration("prod", scaling={})), built_images())
            if one["kind"] == "Deployment" and one["metadata"]["labels"].get("alphaswarm.io/image") == image
            for variable in one["spec"]["template"]["spec"]["containers"][0]["env"]
            if variable["name"] == "OMP_NUM_THREADS"
        }
        for image in ("executor", "worker")
    }
    assert "4 in the executor, 1 in the worker" in PAGE
    assert "4" in threads["executor"]
    assert "1" in threads["worker"]
