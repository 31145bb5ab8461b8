"""The check of an application's lock, against packaging's reading of versions, the real uv, and any text at all."""

import ast
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from config.application import Wanted, folder_findings
from images.build import check_application
from images.build.check_application import SUPPORTED, Supported, lock_findings, read_lock
from tests.images.locks import REFUSED, TAKEN, WARNED

UV = Path(sys.executable).with_name("uv")
RELEASES: Mapping[str, Mapping[str, list[str]]] = {
    "celery": {"5.6.3": ["kombu>=5.6,<5.7", "billiard>=4.2"], "5.7.0": ["kombu>=5.7", "billiard>=4.3"]},
    "kombu": {"5.6.2": [], "5.7.0": [], "6.0.0": []},
    "billiard": {"4.2.4": [], "4.3.2": []},
    "redis": {"8.1.0": []},
}
"""The packages of an index, with what each release requires."""


# --- as packaging reads versions ---


def versions() -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
    near = st.builds("{}.{}{}".format, st.integers(3, 7), st.integers(0, 9), st.sampled_from(["", ".0", ".0.0", ".4"]))
    suffix = st.sampled_from(["", "a1", "b2", "rc1", ".dev3", "rc1.dev2", ".post1", "+ours.1", ".post1.dev2"])
    return st.builds("{}{}".format, st.one_of(numbers, near), suffix)


@pytest.mark.parametrize("supported", SUPPORTED, ids=lambda one: one.name)
@given(version=versions())
def test_a_version_is_refused_exactly_if_the_declared_range_leaves_it_out(supported: Supported, version: str) -> None:
    errors, warnings = supported.findings(version)
    read = Version(version)
    # packaging leaves pre-releases of the next major version out of `<6`, and so they are here.
    fits = SpecifierSet(f">={supported.oldest},<{supported.next_major}").contains(read, prereleases=True)
    assert bool(errors) is not fits
    assert bool(warnings) is (fits and read.release[:2] > Version(supported.tested).release)


# --- whatever a file holds ---


@given(content=st.one_of(st.binary(), st.text().map(str.encode), st.sampled_from([*TAKEN.values()]).map(str.encode)))
def test_whatever_a_lock_holds_is_no_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "uv.lock").write_bytes(content)
    for line in (text for found in lock_findings(read_lock(folder)) for text in found):
        assert line.isprintable(), "one line of a report becomes several"


@pytest.mark.parametrize("text", [*TAKEN.values(), *(text for text, _ in (*REFUSED.values(), *WARNED.values()))])
def test_a_preview_and_a_build_say_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "uv.lock").write_text(text)
    (tmp_path / "pyproject.toml").write_text("[project]\ndynamic = ['optional-dependencies']\n")
    script = str(check_application.__file__)
    built = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    errors, warnings = folder_findings(tmp_path, Wanted())
    refused = [f"the application cannot become an image: {error}" for error in errors]
    lines = [f"{check_application.SETTING}: {said}." for said in (*warnings, *refused)]
    assert built.stderr.splitlines() == lines
    assert built.returncode == (1 if refused else 0)


def test_the_builds_check_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(str(check_application.__file__)).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported = {name.partition(".")[0] for name in imported}
    assert imported <= sys.stdlib_module_names, "nothing is installed yet where it runs"


# --- as uv writes locks, and mends them ---


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels without content."""
    folder = tmp_path_factory.mktemp("index")
    for name, releases in RELEASES.items():
        for version, requires in releases.items():
            requirements = [*requires, *(["redis; extra == 'redis'"] if name == "celery" else [])]
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: redis\n"
            metadata += "".join(f"Requires-Dist: {one}\n" for one in requirements)
            with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
                wheel.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
                wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return folder


class Project:
    """An application of that index."""

    def __init__(self, folder: Path, index: Path) -> None:
        self.folder, self.index = folder, index

    def uv(self, *arguments: str) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.parent),
            "UV_CACHE_DIR": str(self.folder.parent / "cache"),
            "UV_PYTHON": sys.executable,
            "UV_NO_SYNC": "1",
        }
        done = subprocess.run(
            [UV, *arguments], cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def declare(self, *dependencies: str, more: str = "") -> None:
        (self.folder / "pyproject.toml").write_text(
            f'[project]\nname = "tasks"\nversion = "0"\nrequires-python = ">=3.11"\n'
            f"dependencies = {list(dependencies)}\n{more}"
            f'[tool.uv]\nno-index = true\nfind-links = ["{self.index}"]\n'
        )

    def findings(self) -> tuple[list[str], list[str]]:
        return lock_findings(read_lock(self.folder))


@pytest.fixture
def project(tmp_path: Path, index: Path) -> Project:
    (tmp_path / "app").mkdir()
    return Project(tmp_path / "app", index)


@pytest.mark.parametrize(
    ("dependencies", "unfit"),
    [
        (["celery[redis]<5.7"], ["celery 5.6.3", "kombu 5.6.2"]),
        (["celery[redis]<5.7", "billiard<4.3"], ["celery 5.6.3", "kombu 5.6.2", "billiard 4.2.4"]),
        (["celery"], ["no redis"]),
        (["redis"], ["no celery"]),
        (["celery[redis]"], ["kombu 6.0.0"]),
    ],
    ids=", ".join,
)
def test_the_commands_that_a_refusal_names_mend_the_lock(
    project: Project, dependencies: list[str], unfit: list[str]
) -> None:
    project.declare(*dependencies)
    project.uv("lock")
    errors, warnings = project.findings()
    assert [part for part in unfit if not any(part in error for error in errors)] == []
    assert not warnings
    # What is bound by the project itself is its own business; all else is mended by following the lines in turn.
    project.declare(*(re.sub(r"^billiard<.*", "billiard", one) for one in dependencies))
    followed: list[str] = []
    while errors := project.findings()[0]:
        (command,) = re.findall(r"run `uv (.*)` there", errors[0])
        assert command not in followed, f"uv {command} mended nothing"
        project.uv(*shlex.split(command))
        followed.append(command)
    assert project.findings() == ([], [])


def test_a_lock_that_forks_is_refused_for_the_one_branch_that_does_not_fit(project: Project) -> None:
    project.declare(
        "celery[redis]>=5.7; python_version >= '3.13'", "celery[redis]<5.7; python_version < '3.13'", "kombu<6"
    )
    project.uv("lock")
    assert [error.split(",")[0] for error in project.findings()[0]] == [
        "its uv.lock has celery 5.6.3",
        "its uv.lock has kombu 5.6.2",
    ]


def test_a_lock_of_uvs_with_what_fits_is_taken(project: Project) -> None:
    project.declare("celery[redis]>=5.7", "kombu<6")
    project.uv("lock")
    assert project.findings() == ([], [])


def test_a_fork_in_a_folder_that_has_no_version_yet_is_warned_of(project: Project) -> None:
    fork = project.folder.parent / "kombu"
    fork.mkdir()
    (fork / "pyproject.toml").write_text(
        '[project]\nname = "kombu"\nrequires-python = ">=3.11"\ndependencies = []\ndynamic = ["version"]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (fork / "backend.py").write_text(
        "from pathlib import Path\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    made = Path(folder, 'kombu-5.7.0.dist-info')\n"
        "    made.mkdir()\n"
        "    (made / 'METADATA').write_text('Metadata-Version: 2.1\\nName: kombu\\nVersion: 5.7.0\\n')\n"
        "    return made.name\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None): raise NotImplementedError\n"
    )
    project.declare("celery[redis]", "kombu", more='[tool.uv.sources]\nkombu = { path = "../kombu" }\n')
    project.uv("lock")
    errors, warnings = project.findings()
    assert errors == []
    assert warnings == ["its uv.lock has kombu without a version, from a folder or a repository, so it was not checked"]
