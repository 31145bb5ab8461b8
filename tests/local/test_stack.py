"""The copy of a stack's file that the engine reads here, and what `make up` learns from the file itself."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from common.paths import Paths
from local.engine import Engine
from local.stack import LocalStack, application_lock, celery_app, images_python

HERE: dict[str, dict[str, Any]] = {
    "fleet:registry": {"address": "127.0.0.1:5000"},
    "fleet:images": {"builder": "alphaswarm", "platforms": ["linux/amd64"], "buildArgs": {"SOURCE_DATE_EPOCH": "0"}},
}


def stack(folder: Path, config: dict[str, Any]) -> LocalStack:
    (folder / "Pulumi.local.yaml").write_text(yaml.safe_dump({"config": config}))
    made = LocalStack(Engine(Path("pulumi"), Paths(folder), "", ()), "local")
    made.salt_file.write_text("encryptionsalt: v1:salt\n")
    return made


def copied(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration in the copy, once this machine's addresses are over the given one."""
    made = stack(folder, config)
    made.configure(HERE, None)
    found: dict[str, Any] = yaml.safe_load(made.config_file.read_text())["config"]
    return found


def test_what_this_machine_adds_takes_nothing_away_however_deep_it_lies(tmp_path: Path) -> None:
    images = {"source": "build", "buildArgs": {"MORE_EXTRAS": "cuda"}, "contexts": {"wheels": "wheels"}}
    found = copied(tmp_path, {"fleet:environment": "local", "fleet:images": images})
    assert found["fleet:environment"] == "local"
    assert found["fleet:registry"] == HERE["fleet:registry"]
    assert found["fleet:images"] == {
        **HERE["fleet:images"],
        **images,
        "buildArgs": {"MORE_EXTRAS": "cuda", "SOURCE_DATE_EPOCH": "0"},
    }


@pytest.mark.parametrize("given", ["alphaswarm", None, ["build"]])
def test_a_section_that_is_no_mapping_gives_way(tmp_path: Path, given: object) -> None:
    assert copied(tmp_path, {"fleet:images": given})["fleet:images"] == HERE["fleet:images"]


def test_the_committed_file_is_never_written(tmp_path: Path) -> None:
    made = stack(tmp_path, {"fleet:images": {"source": "build"}})
    before = made.committed_file.read_bytes()
    made.configure(HERE, None)
    assert made.committed_file.read_bytes() == before


@pytest.mark.parametrize(
    ("images", "lock"),
    [
        ({"source": "build"}, "images/reference_app/uv.lock"),
        ({"source": "build", "application": "../mine"}, "../mine/uv.lock"),
        ({"source": "build", "application": f"https://host.example/mine.git#{'0' * 40}"}, None),
        (None, "images/reference_app/uv.lock"),
    ],
)
def test_the_lock_is_that_of_the_application_the_stack_names(tmp_path: Path, images: object, lock: str | None) -> None:
    made = stack(tmp_path, {"fleet:images": images})
    assert application_lock(made.committed_file) == (lock and tmp_path / lock)


def test_the_application_and_python_of_the_images_are_those_of_the_file(tmp_path: Path) -> None:
    images = {"source": "build", "python": "3.14"}
    own = stack(tmp_path, {"fleet:celeryApp": "own.tasks", "fleet:images": images}).committed_file
    assert (celery_app(own), images_python(own)) == ("own.tasks", "3.14")
    usual = stack(tmp_path, {"fleet:images": {"source": "build"}}).committed_file
    assert (celery_app(usual), images_python(usual)) == ("alphaswarm.tasks.celery_app", "3.13")
