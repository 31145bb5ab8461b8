"""From a reference to the images behind it, against a registry that answers from memory."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.errors import CommandError
from tools.sbom.images import repository_of, resolve
from tools.sbom.tools import Tools

INDEX_OF_BOTH = {
    "manifests": [
        {"digest": "sha256:a", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:b", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"digest": "sha256:c", "platform": {"os": "unknown", "architecture": "unknown"}},
        {"digest": "sha256:d"},
    ]
}


@dataclass(frozen=True)
class FromMemory(Tools):
    answers: Mapping[str, Any] | None = None

    def ask_oras(self, *command: str, at: str, more: Sequence[str] = (), cwd: Path | None = None) -> bytes:  # noqa: ARG002
        return json.dumps((self.answers or {})[command[1]]).encode()


def registry(**answers: object) -> Tools:
    unused = Path("unused")
    return FromMemory(unused, unused, answers={name.replace("_", "-"): answer for name, answer in answers.items()})


def test_an_index_becomes_its_images_and_nothing_else_that_it_lists() -> None:
    image = resolve(registry(fetch=INDEX_OF_BOTH), "LOCALHOST:5000/alphaswarm-worker:tag")
    assert [(one.platform, one.reference) for one in image.platforms] == [
        ("linux/amd64", "LOCALHOST:5000/alphaswarm-worker@sha256:a"),
        ("linux/arm64/v8", "LOCALHOST:5000/alphaswarm-worker@sha256:b"),
    ]
    assert [one.architecture for one in image.platforms] == ["amd64", "arm64-v8"]


def test_a_tag_becomes_the_digest_that_it_names_now() -> None:
    digest = hashlib.sha256(json.dumps(INDEX_OF_BOTH).encode()).hexdigest()
    image = resolve(registry(fetch=INDEX_OF_BOTH), "registry/alphaswarm-worker:tag")
    assert (image.name, image.reference) == ("alphaswarm-worker", f"registry/alphaswarm-worker@sha256:{digest}")


def test_an_image_of_one_architecture_needs_no_index() -> None:
    answers = registry(fetch={"layers": []}, fetch_config={"os": "linux", "architecture": "arm64"})
    (one,) = resolve(answers, "registry/thing@sha256:0").platforms
    assert one.platform == "linux/arm64"


@pytest.mark.parametrize(
    "answers",
    [
        registry(fetch={"manifests": [{"digest": "sha256:d"}]}),
        registry(fetch={"layers": []}, fetch_config={}),
    ],
    ids=["an index of nothing", "an artifact"],
)
def test_what_runs_nowhere_is_refused_by_its_name(answers: Tools) -> None:
    with pytest.raises(CommandError, match=r"registry/thing@sha256:0 .*Name an image"):
        resolve(answers, "registry/thing@sha256:0")


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("LOCALHOST:5000/a@sha256:0", "LOCALHOST:5000/a"),
        ("LOCALHOST:5000/a:tag", "LOCALHOST:5000/a"),
        ("1.dkr.ecr.eu-central-1.amazonaws.com/team/a:tag@sha256:0", "1.dkr.ecr.eu-central-1.amazonaws.com/team/a"),
    ],
)
def test_a_repository_is_a_reference_without_digest_and_tag(reference: str, repository: str) -> None:
    assert repository_of(reference) == repository


@pytest.mark.parametrize("given", ["alphaswarm-worker", "alphaswarm-worker@sha256:0", "r/a@sha256:0@sha256:1"])
def test_what_names_no_registry_is_refused_with_the_way_to_write_it(given: str) -> None:
    with pytest.raises(CommandError, match=r"Write it as REGISTRY/NAME@sha256:DIGEST"):
        repository_of(given)
