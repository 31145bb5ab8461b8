"""The steps of the Dockerfiles, run as they are, with a uv that only records its arguments."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.images.locks import FITS, REFUSED, TAKEN, WARNED, lock

IMAGES = Path(__file__).parents[2] / "images"
BUILD = IMAGES / "build"
EXTRAS = ("otel", "ml", "ml-torch")
HAS_ALL = "[project]\nname='x'\n[project.optional-dependencies]\notel = []\nML = ['a']\nml_torch = []\n[build-system]\n"


@dataclass(frozen=True)
class Step:
    """A step that can be run; `folder` is the application's."""

    folder: Path
    tools: Path

    def write(self, pyproject: str | None, lock: str | None = FITS) -> "Step":
        """Give the application these files."""
        for name, content in (("pyproject.toml", pyproject), ("uv.lock", lock)):
            if content is not None:
                (self.folder / name).write_text(content)
        return self

    def run(self, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a step; it ends at uv, which fails."""
        path = {"PATH": f"{self.tools}:/usr/bin:/bin", "PYTHON": "3.13"}
        return subprocess.run(
            [BUILD / str(command[0]), *command[1:]], env=path | env, capture_output=True, text=True, check=False
        )

    def install(self, *extras: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Install the executor's dependencies, for amd64 by default."""
        return self.install_as("wheels", *(extras or EXTRAS), **env)

    def install_as(self, way: str, *extras: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Install the executor's dependencies in one of the ways."""
        options = ("alphaswarm-executor", way, *extras)
        return self.run("install-dependencies", self.folder, *options, **{"TARGETARCH": "amd64", **env})

    @property
    def uv_arguments(self) -> str:
        """The arguments that uv got; empty when it was not run."""
        note = self.tools / "asked"
        return note.read_text() if note.exists() else ""


@pytest.fixture
def step(tmp_path: Path) -> Step:
    folder, tools = tmp_path / "application", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    (tools / "python3.13").symlink_to(sys.executable)
    (tools / "uv").write_text(f'#!/bin/sh\necho "$@" > {tools}/asked\necho "uv was run" >&2\nexit 3\n')
    (tools / "uv").chmod(0o755)
    return Step(folder, tools)


def test_an_application_with_every_extra_is_installed_from_its_lock(step: Step) -> None:
    done = step.write(HAS_ALL).install()
    assert "uv was run" in done.stderr
    assert step.uv_arguments == (
        f"sync --directory {step.folder} --no-dev --python-platform x86_64-manylinux_2_39 "
        "--locked --no-install-project --no-build --extra otel --extra ml --extra ml-torch\n"
    )


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        (HAS_ALL.replace("ml_torch = []\n", ""), "has no extra 'ml-torch', which alphaswarm-executor needs; add it"),
        ("[project]\nname = 'x'\n", "lacks 3 extras, 'otel', 'ml', 'ml-torch', which alphaswarm-executor needs"),
        ("[tool.poetry]\n", "no [project] table"),
        ("[project\n", "is not TOML"),
    ],
)
def test_an_application_that_lacks_extras_is_refused_before_anything_is_installed(
    step: Step, pyproject: str, message: str
) -> None:
    done = step.write(pyproject).install()
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("fleet:images.application: ")
    assert done.stderr.count("\n") == 1, "one message, and no traceback"
    assert not step.uv_arguments


@pytest.mark.parametrize(
    ("pyproject", "lock", "messages"),
    [
        (None, None, ["no uv.lock", "no pyproject.toml"]),
        (HAS_ALL, None, ["no uv.lock"]),
        (None, FITS, ["no pyproject.toml"]),
    ],
)
def test_both_steps_say_alike_that_an_application_declares_nothing(
    step: Step, pyproject: str | None, lock: str | None, messages: list[str]
) -> None:
    step.write(pyproject, lock)
    dependencies = step.install()
    code = step.run("install-code", step.folder, step.folder, "/dev/null")
    assert dependencies.stderr == code.stderr, "they run at once, and either may be the one that is shown"
    assert all(message in code.stderr for message in messages)
    assert dependencies.returncode == code.returncode == 1
    assert not step.uv_arguments


def test_extras_that_only_a_build_backend_knows_are_left_to_uv(step: Step) -> None:
    done = step.write("[project]\nname = 'x'\ndynamic = ['optional-dependencies']\n").install()
    assert done.stderr.startswith("uv was run")


def test_the_extra_for_gpus_takes_the_place_of_the_one_for_cpus(step: Step) -> None:
    step.write(HAS_ALL.replace("[build", "ml-torch-cuda = []\n[build")).install(*EXTRAS, "ml-torch-cuda")
    assert step.uv_arguments.rstrip().endswith("--no-build --extra otel --extra ml --extra ml-torch-cuda")


@pytest.mark.parametrize(("architecture", "left_out"), [("amd64", True), ("arm64", False)])
def test_a_package_is_left_out_on_its_architecture_alone(step: Step, architecture: str, left_out: bool) -> None:
    done = step.write(HAS_ALL).install(TARGETARCH=architecture, LEAVE_OUT="amd64/torch")
    assert ("--no-install-package torch" in step.uv_arguments) is left_out
    assert ("goes without" in done.stderr) is left_out, "nobody would know"


@pytest.mark.parametrize("given", ["torch", "amd64/", "/torch", "riscv64/torch"])
def test_what_to_leave_out_is_written_with_its_architecture(step: Step, given: str) -> None:
    done = step.write(HAS_ALL).install(LEAVE_OUT=given)
    assert done.returncode == 1
    assert "architecture/package" in done.stderr
    assert not step.uv_arguments


def test_another_architecture_is_refused(step: Step) -> None:
    done = step.write(HAS_ALL).install(TARGETARCH="riscv64")
    assert done.returncode == 1
    assert "not for riscv64" in done.stderr


# --- the lock ---


@pytest.mark.parametrize("case", TAKEN)
def test_a_lock_that_fits_the_runtime_is_installed_from_in_silence(step: Step, case: str) -> None:
    done = step.write(HAS_ALL, TAKEN[case]).install()
    assert done.stderr.splitlines()[0] == "uv was run"


@pytest.mark.parametrize("case", REFUSED)
def test_a_lock_that_does_not_fit_is_refused_before_anything_is_installed(step: Step, case: str) -> None:
    text, parts = REFUSED[case]
    done = step.write(HAS_ALL, text).install()
    assert done.returncode == 1
    assert done.stderr.startswith("fleet:images.application: the application cannot become an image: its uv.lock ")
    assert [part for part in parts if part not in done.stderr] == []
    assert done.stderr.count("\n") == 1, "one line, and no traceback"
    assert not step.uv_arguments


@pytest.mark.parametrize("case", WARNED)
def test_what_may_well_fit_is_installed_with_a_warning(step: Step, case: str) -> None:
    text, warning = WARNED[case]
    done = step.write(HAS_ALL, text).install()
    assert done.stderr.splitlines()[:2] == [f"fleet:images.application: {warning}.", "uv was run"]


@pytest.mark.parametrize("case", REFUSED)
def test_both_steps_say_alike_what_is_wrong_with_a_lock(step: Step, case: str) -> None:
    step.write(HAS_ALL, REFUSED[case][0])
    code = step.run("install-code", step.folder, step.folder, "/dev/null")
    assert code.stderr == step.install().stderr, "they run at once, and either may be the one that is shown"
    assert code.returncode == 1


def test_everything_that_is_wrong_is_said_at_once_each_on_its_line(step: Step) -> None:
    done = step.write("[project]\n", lock(celery="5.5.3", kombu="5.5.4", billiard="4.2.4")).install()
    said = [
        line.removeprefix("fleet:images.application: the application cannot become an image: ")
        for line in done.stderr.splitlines()
    ]
    assert [line.split(",")[0] for line in said] == [
        "its uv.lock has celery 5.5.3",
        "its uv.lock has kombu 5.5.4",
        "its uv.lock has billiard 4.2.4",
        "its pyproject.toml lacks 3 extras",
    ]


def test_the_reference_application_is_locked_to_what_the_runtime_was_tested_with(step: Step) -> None:
    done = step.write(HAS_ALL, (IMAGES / "reference_app/uv.lock").read_text()).install()
    assert done.stderr.splitlines()[0] == "uv was run"


# --- ways to install ---


def test_a_dependency_without_a_wheel_fails_with_the_key_that_would_build_it(step: Step) -> None:
    done = step.write(HAS_ALL).install()
    assert done.returncode == 1
    assert "fleet:images.dependencies.executor" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("way", ["pure", "compiled"])
def test_source_distributions_are_built_where_the_stack_asks_for_it(step: Step, way: str) -> None:
    done = step.write(HAS_ALL).install_as(way)
    assert "--no-build" not in step.uv_arguments
    assert "fleet:images.dependencies" not in done.stderr


def test_another_way_is_refused(step: Step) -> None:
    done = step.write(HAS_ALL).install_as("wheel")
    assert done.returncode == 1
    assert "wheels, pure or compiled, not as wheel" in done.stderr
    assert not step.uv_arguments


@pytest.mark.parametrize(
    ("source", "frozen"),
    [
        ('{ editable = "." }', False),
        ('{ virtual = "." }', False),
        ('{ registry = "https://pypi.org/simple" }', False),
        ('{ editable = "packages/one" }', True),
        ('{ virtual = "./packages/one" }', False),
        ('{ directory = "../one" }', True),
    ],
)
def test_packages_in_folders_are_left_to_the_source_tree(step: Step, source: str, frozen: bool) -> None:
    step.write(HAS_ALL, f"{FITS}\n[[package]]\nname = 'one'\nversion = '1'\nsource = {source}\n").install()
    assert ("--frozen --no-install-workspace --no-install-local" in step.uv_arguments) is frozen
    assert ("--locked --no-install-project" in step.uv_arguments) is not frozen


# --- the code ---

NO_WHEEL = "[project]\nname = 'x'\n"
SCM = "[project]\nname = 'x'\ndynamic = ['version']\n[build-system]\nrequires = ['hatchling', '{}']\n"


@pytest.mark.parametrize(
    ("pyproject", "env", "message"),
    [
        (NO_WHEEL, {}, "it has no wheel; name in fleet:images.sourceRoots"),
        (f"{HAS_ALL}[tool.uv]\npackage = false\n", {}, "it has no wheel; name in fleet:images.sourceRoots"),
        (NO_WHEEL, {"SOURCE_ROOTS": ". backend"}, "no folder 'backend', which fleet:images.sourceRoots names"),
        (SCM.format("hatch-vcs"), {}, "fleet:images.version"),
        (SCM.format("setuptools_scm[toml]>=8"), {}, "fleet:images.version"),
        (SCM.format("uv-dynamic-versioning==0.8"), {}, "fleet:images.version"),
        (f"{SCM.format('pdm-backend')}[tool.pdm.version]\nsource = 'scm'\n", {}, "fleet:images.version"),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n[build-system]\n", {}, "its dependencies are dynamic"),
    ],
)
def test_code_that_cannot_be_installed_is_refused_before_anything_is(
    step: Step, pyproject: str, env: dict[str, str], message: str
) -> None:
    done = step.write(pyproject).run("install-code", step.folder, step.folder, "/dev/null", **env)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, "one message, and no traceback"
    assert not step.uv_arguments


@pytest.mark.parametrize(
    ("pyproject", "env"),
    [
        (NO_WHEEL, {"SOURCE_ROOTS": "."}),
        (HAS_ALL, {}),
        (SCM.format("hatch-vcs"), {"APPLICATION_VERSION": "1.2.3"}),
        (SCM.format("hatch-vcs"), {"SOURCE_ROOTS": "."}),
        (SCM.format("hatch-fancy-pypi-readme"), {}),
        (SCM.format("hatch-vcs").replace("dynamic = ['version']", "version = '1'"), {}),
    ],
)
def test_code_that_can_be_installed_passes_the_check(step: Step, pyproject: str, env: dict[str, str]) -> None:
    step.write(pyproject)
    check: list[str | Path] = [sys.executable, BUILD / "check_application.py", step.folder]
    done = subprocess.run(check, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_source_tree_is_copied_without_what_may_be_secret_or_is_made_anew(step: Step, tmp_path: Path) -> None:
    kept = ["backend/app.py", "backend/tests/test_app.py", "templates/page.html", "link.py"]
    left = [".env", ".git/config", "backend/.env.prod", "backend/__pycache__/app.cpython-313.pyc", ".venv/bin/python"]
    for name in (*kept[:3], *left):
        file = step.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (step.folder / "link.py").symlink_to("backend/app.py")
    target = tmp_path / "copy"
    subprocess.run([sys.executable, BUILD / "copy_source_tree.py", step.folder, target], check=True)
    assert sorted(str(file.relative_to(target)) for file in target.rglob("*") if not file.is_dir()) == sorted(kept)
    assert (target / "link.py").is_symlink()


def test_a_package_that_a_volume_would_hide_is_refused(step: Step, tmp_path: Path) -> None:
    hidden = tmp_path / "app" / "models"
    hidden.mkdir(parents=True)
    done = step.run("own-directories", tmp_path / "app" / "data", hidden)
    assert done.returncode == 1
    assert "its wheel has models/ at the top" in done.stderr
    assert not (tmp_path / "app" / "data").exists()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CHECK_IMPORT": "no", "TARGETARCH": "amd64"}, "CHECK_IMPORT is no"),
        ({"CHECK_IMPORT": "yes", "TARGETARCH": "arm64"}, "for arm64: this machine is amd64"),
    ],
)
def test_an_import_that_is_not_tried_is_said(step: Step, env: dict[str, str], said: str) -> None:
    done = step.run("import-application", "worker", **env, BUILDARCH="amd64", CELERY_APP="tasks")
    assert done.returncode == 0
    assert said in done.stderr
