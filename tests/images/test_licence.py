"""Whoever is handed an image is handed the licence of the code in it: a copy lies beside each package."""

import tomllib
from pathlib import Path

import pytest

from queues import IMAGES

ROOT = Path(__file__).resolve().parents[2]
IMAGES_FOLDER = ROOT / "images"
LICENCE = (ROOT / "LICENSE").read_text()
CONTEXTS = (IMAGES_FOLDER, *(IMAGES_FOLDER / image.standalone_folder for image in IMAGES))


@pytest.mark.parametrize("package", ["runtime", "reference_app"])
def test_a_package_of_the_images_carries_the_licence_of_the_repository(package: str) -> None:
    folder = IMAGES_FOLDER / package
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (folder / "LICENSE").read_text() == LICENCE
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (declared["license"], declared["license-files"]) == (whole["license"], ["LICENSE"])


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.name)
def test_the_build_is_sent_the_licence_of_every_package_that_it_is_sent(context: Path) -> None:
    sent = {line[1:] for line in (context / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {name.removesuffix("/pyproject.toml") for name in sent if name.endswith("/pyproject.toml")}
    assert len(packages) == 2
    missing = {f"{package}/LICENSE" for package in packages} - sent
    assert not missing, "building the package fails, since its pyproject.toml names the file"
