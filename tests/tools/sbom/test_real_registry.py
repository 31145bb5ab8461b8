"""Real tools on a real registry with its own authority: a small image for two architectures, of Wolfi's shape.

Its files are those that package managers leave behind, and none of them can be run.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.errors import CommandError
from common.paths import Paths, this_checkout
from common.progress import Progress
from local.ports import Ports
from local.services.registry import Registry, RegistryTls
from offline.base_image.oci import Layout, file_entry
from toolchain import ensure
from tools.sbom import attach
from tools.sbom.images import resolve
from tools.sbom.tools import Tools, tools

pytestmark = pytest.mark.images  # syft is built for it, which takes minutes the first time

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
NAME = "alphaswarm-tiny"
OS_RELEASE = b'ID=wolfi\nNAME="Wolfi"\nPRETTY_NAME="Wolfi"\nVERSION_ID="20230201"\n'
INSTALLED = """\
C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:libgcc
V:15.1.0-r2
A:{machine}
S:1
I:1
T:GCC runtime library
U:https://gcc.gnu.org
L:GPL-3.0-or-later WITH GCC-exception-3.1
o:gcc
m:maintainers
t:0

"""
METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\n"
PYTHON = {"kombu": "License-Expression: BSD-3-Clause", "silent": "", "only-here": "License-Expression: MIT"}


@dataclass(frozen=True)
class Tiny:
    """The image in the registry: an index of two architectures and of an attestation, as BuildKit may add one."""

    tools: Tools
    reference: str

    def look(self, out: Path, *options: str) -> str:
        """Run the command as a person would; what it printed."""
        command = [sys.executable, "-m", "tools.sbom", f"--out={out}", f"--ca-file={self.tools.ca_file}", *options]
        done = subprocess.run(
            [*command, self.reference], cwd=this_checkout().checkout, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    folder = tmp_path_factory.mktemp("registry")
    paths, progress = Paths(folder), Progress()
    program = ensure(["docker-registry"], progress)["docker-registry"]
    registry = Registry(program, paths, Ports(paths.run / "ports.json"), RegistryTls())
    registry.start(progress)
    try:
        have = tools(registry.ca_file, progress)
        reference = f"{registry.endpoint}/{NAME}:tag"
        push(have, layout(folder / "layout"), reference)
        yield Tiny(have, resolve(have, reference).reference)
    finally:
        registry.stop()


def layout(folder: Path) -> Path:
    made = Layout(folder)
    images = [made.write_image(architecture, [made.write_layer(files(architecture))], {}) for architecture in MACHINES]
    attestation = made.write_image("unknown", [made.write_layer([])], {})
    stranger = {**attestation, "platform": {"architecture": "unknown", "os": "unknown"}}
    made.write_names({"tag": made.write_index([*images, stranger])})
    return folder


def files(architecture: str) -> list[Any]:
    installed = INSTALLED.format(machine=MACHINES[architecture])
    python = [name for name in PYTHON if name != "only-here" or architecture == "arm64"]
    return [
        file_entry("etc/os-release", OS_RELEASE),
        file_entry("usr/lib/apk/db/installed", installed.encode()),
        *(
            file_entry(
                f"venv/lib/python3.13/site-packages/{name}-1.2.3.dist-info/METADATA",
                METADATA.format(name=name, version="1.2.3", more=PYTHON[name]).encode(),
            )
            for name in python
        ),
    ]


def push(have: Tools, folder: Path, reference: str) -> None:
    command: list[str | Path] = [
        have.oras,
        "cp",
        "--from-oci-layout",
        f"{folder}:tag",
        "--to-ca-file",
        have.ca_file or "",
        reference,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def out(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    tiny.look(folder, "--attach")
    return folder


def document(out: Path, architecture: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{NAME}-{architecture}.cdx.json").read_text())
    return found


def named(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in found["components"]}


@pytest.mark.parametrize("architecture", MACHINES)
def test_each_architecture_lists_its_packages_with_version_purl_and_licence(out: Path, architecture: str) -> None:
    found = named(document(out, architecture))
    assert found["libgcc"]["version"] == "15.1.0-r2"
    assert found["libgcc"]["purl"].startswith("pkg:apk/wolfi/libgcc@15.1.0-r2?")
    assert f"arch={MACHINES[architecture]}" in found["libgcc"]["purl"]
    assert "GPL-3.0-or-later WITH GCC-exception-3.1" in json.dumps(found["libgcc"]["licenses"])
    assert found["kombu"]["purl"] == "pkg:pypi/kombu@1.2.3"
    assert found["kombu"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert ("only-here" in found) is (architecture == "arm64")


def test_a_document_names_its_standard_and_the_very_image_it_is_of(tiny: Tiny, out: Path) -> None:
    for image in resolve(tiny.tools, tiny.reference).platforms:
        found = document(out, image.architecture)
        assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
        subject = found["metadata"]["component"]
        assert (subject["name"], subject["version"]) == (NAME, image.digest)
        assert tiny.reference.partition("/")[0] not in json.dumps(found), "the document depends on where it was made"


def test_every_image_has_a_page_and_an_attestation_has_nothing(out: Path) -> None:
    assert {file.name for file in out.iterdir()} == {
        f"{NAME}-amd64.cdx.json",
        f"{NAME}-arm64.cdx.json",
        f"{NAME}-licences.md",
    }
    text = (out / f"{NAME}-licences.md").read_text()
    assert "only-here 1.2.3 (linux/arm64 only)" in text
    assert "- silent 1.2.3" in text
    assert "Not complete" not in text


def test_a_second_run_writes_the_same_bytes_and_attaches_nothing_more(tiny: Tiny, out: Path, tmp_path: Path) -> None:
    before = [attach.attached(tiny.tools, image) for image in resolve(tiny.tools, tiny.reference).platforms]
    tiny.look(tmp_path, "--attach")
    for file in out.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), f"{file.name} changes with the moment"
    after = [attach.attached(tiny.tools, image) for image in resolve(tiny.tools, tiny.reference).platforms]
    assert before == after
    assert [len(found) for found in after] == [1, 1]


def test_what_is_attached_is_what_was_written(tiny: Tiny, out: Path, tmp_path: Path) -> None:
    for image in resolve(tiny.tools, tiny.reference).platforms:
        (digest,) = attach.attached(tiny.tools, image)
        artifact = f"{image.repository}@{digest}"
        tiny.tools.ask_oras("pull", at=artifact, more=("--output", str(tmp_path)))
        name = f"{NAME}-{image.architecture}.cdx.json"
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
        assert json.loads(tiny.tools.ask_oras("manifest", "fetch", at=artifact))["subject"]["digest"] == image.digest


def test_a_document_can_be_read_by_the_tools_that_read_such_documents(tiny: Tiny, out: Path) -> None:
    command: list[str | Path] = [
        tiny.tools.syft,
        "convert",
        out / f"{NAME}-arm64.cdx.json",
        "--quiet",
        "--output",
        "spdx-json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"libgcc", "kombu"} <= {package["name"] for package in json.loads(done.stdout)["packages"]}


def test_nothing_is_attached_unless_it_is_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    push(tiny.tools, layout(tmp_path / "layout"), tiny.reference.partition("@")[0] + "-untouched:tag")
    other = Tiny(tiny.tools, resolve(tiny.tools, tiny.reference.partition("@")[0] + "-untouched:tag").reference)
    other.look(tmp_path / "out")
    assert [attach.attached(tiny.tools, image) for image in resolve(tiny.tools, other.reference).platforms] == [(), ()]


def test_an_image_that_is_not_there_is_one_sentence(tiny: Tiny) -> None:
    missing = f"{tiny.reference.partition('@')[0]}@sha256:{'0' * 64}"
    with pytest.raises(CommandError, match=r"Is the image there") as refused:
        resolve(tiny.tools, missing)
    assert missing in str(refused.value)
