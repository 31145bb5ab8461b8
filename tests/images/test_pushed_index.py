"""What `pulumi up` pushes: one index with an image for each platform, by the real engine, provider, BuildKit, registry.

The component is the fleet's own, and what it builds is a Dockerfile of a few bytes: how the real images come about is
looked at elsewhere. Other tests hold the component's inputs; this one holds what the registry has in the end.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from common.paths import Paths, this_checkout
from common.progress import Progress
from local.builder.factory import ensure_builder
from local.builder.service import NAME
from local.engine import Engine, ensure_engine
from local.ports import Ports
from local.services.registry import Registry, RegistryTls
from tests.images.build_environment import missing_for_builds, temporary_folder
from tests.images.conftest import Uncaptured
from toolchain import ensure

pytestmark = pytest.mark.images

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PLATFORMS = {"linux/amd64", "linux/arm64"}
DOCKERFILE = "FROM scratch AS worker\nARG TARGETARCH\nCOPY ${TARGETARCH} /architecture\n"
PROGRAM = f"""
import sys

sys.path.insert(0, {str(this_checkout().checkout)!r})

import pulumi

from components.multi_arch_image import MultiArchImage, MultiArchImageArgs

image = MultiArchImage(
    "alphaswarm-worker",
    MultiArchImageArgs(
        repository_url=pulumi.Config().require("repository"),
        target="worker",
        context="source",
        dockerfile="source/Dockerfile",
        platforms={tuple(sorted(PLATFORMS))!r},
        builder={NAME!r},
    ),
)
pulumi.export("reference", image.reference)
"""


@dataclass(frozen=True)
class PushedStack:
    """An engine with a stack that pushes one image to a registry."""

    engine: Engine
    registry: Registry
    folder: Path

    def pulumi(self, *arguments: str) -> str:
        return self.engine.capture(*arguments, cwd=self.folder)

    def get(self, repository: str, digest: str, kind: str) -> dict[str, Any]:
        """A manifest, as somebody who pulls gets it; a blob when no kind of manifest is named."""
        what = "manifests" if kind else "blobs"
        verify = str(self.registry.ca_file)
        address = f"{self.registry.url}/v2/{repository}/{what}/{digest}"
        answer = requests.get(address, headers={"Accept": kind}, verify=verify, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = json.loads(answer.content)
        return found


@pytest.fixture
def stack(uncaptured: Uncaptured, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushedStack]:
    if lacking := missing_for_builds():
        pytest.skip(lacking)
    with uncaptured(), temporary_folder() as folder:
        progress, paths = Progress(), Paths(folder)
        (folder / "requirements.in").symlink_to(this_checkout().checkout / "requirements.in")
        engine = ensure_engine(paths, progress, builds_images=True)
        program = ensure(["docker-registry"], progress)["docker-registry"]
        registry = Registry(program, paths, Ports(paths.run / "ports.json"), RegistryTls())
        service = ensure_builder(paths, registry, progress)
        try:
            registry.start(progress)
            for name, value in service.start(progress).env.items():
                monkeypatch.setenv(name, value)
            project = make_project(folder / "project", f"{registry.endpoint}/alphaswarm-worker")
            yield PushedStack(engine, registry, project)
        finally:
            service.stop()
            registry.stop()


def make_project(folder: Path, repository: str) -> Path:
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "Dockerfile").write_text(DOCKERFILE)
    for platform in PLATFORMS:
        (source / platform.rpartition("/")[2]).write_text(platform)
    (folder / "Pulumi.yaml").write_text("name: pushed\nruntime: python\n")
    (folder / "Pulumi.test.yaml").write_text(f"config:\n  pushed:repository: {repository}\n")
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


def test_up_pushes_one_index_with_an_image_for_each_platform(stack: PushedStack) -> None:
    stack.pulumi("stack", "init", "test")
    stack.pulumi("up", "--yes", "--skip-preview", "--stack", "test")
    reference = stack.pulumi("stack", "output", "reference", "--stack", "test").strip()
    name, _, digest = reference.partition("@")
    repository = name.partition("/")[2]
    index = stack.get(repository, digest, INDEX)
    assert index["mediaType"] == INDEX
    found = {}
    for one in index["manifests"]:
        manifest = stack.get(repository, one["digest"], MANIFEST)
        config = stack.get(repository, manifest["config"]["digest"], "")
        found[f"{config['os']}/{config['architecture']}"] = one["platform"]
        assert [layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]] == ["zstd"]
    assert found.keys() == PLATFORMS
    assert {f"{one['os']}/{one['architecture']}" for one in found.values()} == PLATFORMS
    stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test")
