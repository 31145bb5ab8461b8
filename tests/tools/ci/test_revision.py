"""The images' revision is the last commit that changed what they are built from, and no other commit moves it.

The script runs in a repository of its own, with a real git and a `pulumi` that only takes notes.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path("tools/ci/set-revision")
PULUMI = """#!/bin/sh
case "$2" in
  get) cat application 2>/dev/null || exit 255 ;;
  set) printf '%s\\n' "$*" >calls ;;
esac
"""
OWNER = {f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Repository:
    """A repository with the script in it."""

    folder: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=self.env, capture_output=True, check=True)
        return done.stdout.decode().strip()

    @property
    def env(self) -> dict[str, str]:
        apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return {**OWNER, **apart, "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"}

    def commit(self, *files: str) -> str:
        """Change files, and give the commit."""
        for name in files:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{file.read_text() if file.exists() else ''}.")
        self.git("add", *files)
        self.git("commit", "--quiet", "--message", " ".join(files))
        return self.git("rev-parse", "HEAD")

    def run(self) -> "subprocess.CompletedProcess[str]":
        script = self.folder / SCRIPT
        return subprocess.run([script, "dev"], env=self.env, capture_output=True, text=True, check=False)

    def revision(self) -> str:
        """What the stack is given. Raises AssertionError when it is given nothing."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        (call,) = (self.folder / "calls").read_text().splitlines()
        head, _, value = call.rpartition(" ")
        assert head == "config set --stack dev --path fleet:images.buildArgs.REVISION"
        return value


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    (made.folder / SCRIPT.parent).mkdir(parents=True)
    (made.folder / "bin").mkdir()
    shutil.copy(ROOT / SCRIPT, made.folder / SCRIPT)
    (made.folder / "bin/pulumi").write_text(PULUMI)
    (made.folder / "bin/pulumi").chmod(0o755)
    made.git("init", "--quiet")
    return made


@pytest.mark.parametrize(
    "source",
    [
        "images/Dockerfile",
        "images/.dockerignore",
        "images/build/install-code",
        "images/runtime/src/alphaswarm_runtime/worker.py",
        "images/runtime-requirements.txt",
        "images/reference_app/uv.lock",
    ],
)
def test_a_change_of_a_source_is_the_revision_until_the_next(repository: Repository, source: str) -> None:
    repository.commit("images/Dockerfile", "README.md")
    changed = repository.commit(source)
    repository.commit(
        "README.md", "config/loading.py", "queues.py", "images/README.md", "images/alphaswarm_worker/Dockerfile"
    )
    assert repository.revision() == changed, "a commit that changes no image would roll every pod"


def test_every_source_of_the_build_counts() -> None:
    text = (ROOT / SCRIPT).read_text()
    counted = set(re.findall(r"\bimages/[\w./-]+", text)) - {"images/.dockerignore", "images/Dockerfile"}
    lines = (ROOT / "images/.dockerignore").read_text().splitlines()
    copied = {f"images/{'/'.join(line[1:].split('/')[:1])}" for line in lines if line.startswith("!")}
    assert counted == copied, "the build reads what the revision does not know of, or the other way round"


def test_an_application_of_this_repository_counts_in_place_of_the_reference(repository: Repository) -> None:
    repository.commit("images/Dockerfile")
    changed = repository.commit("tasks/pyproject.toml")
    repository.commit("images/reference_app/uv.lock")
    (repository.folder / "application").write_text("tasks\n")
    assert repository.revision() == changed


@pytest.mark.parametrize("application", ["https://git.example.com/tasks.git#" + "a1" * 20, "../tasks", "/srv/tasks"])
def test_an_application_from_elsewhere_has_a_revision_of_its_own(repository: Repository, application: str) -> None:
    changed = repository.commit("images/Dockerfile")
    repository.commit("images/reference_app/uv.lock")
    (repository.folder / "application").write_text(f"{application}\n")
    assert repository.revision() == changed


def test_a_clone_without_history_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit("images/Dockerfile", str(SCRIPT), "bin/pulumi")
    repository.commit("README.md")
    shallow = Repository(tmp_path / "shallow")
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(shallow.folder))
    shutil.copytree(repository.folder / "bin", shallow.folder / "bin", dirs_exist_ok=True)
    shutil.copy(ROOT / SCRIPT, shallow.folder / SCRIPT)
    done = shallow.run()
    assert done.returncode == 1
    assert "fetch-depth: 0" in done.stderr
    assert not (shallow.folder / "calls").exists()
