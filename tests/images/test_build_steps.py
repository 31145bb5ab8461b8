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
HAS_ALL = "[project]\nname = 'x'\n[project.optional-dependencies]\notel = []\nML = ['a']\nml_torch = []\n"


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
        path = {"PATH": f"{self.tools}:/usr/bin:/bin"}
        return subprocess.run(
            [BUILD / str(command[0]), *command[1:]], env=path | env, capture_output=True, text=True, check=False
        )

    def install(self, *extras: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Install the executor's dependencies, for amd64 by default."""
        options = ("alphaswarm-executor", "--no-build", "--", *(extras or EXTRAS))
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
    assert done.returncode == 3, done.stderr
    assert step.uv_arguments == (
        "sync --locked --no-dev --no-install-project --python-platform x86_64-manylinux_2_39 --no-build "
        "--extra otel --extra ml --extra ml-torch\n"
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
    assert step.write("[project]\nname = 'x'\ndynamic = ['optional-dependencies']\n").install().returncode == 3


def test_the_extra_for_gpus_takes_the_place_of_the_one_for_cpus(step: Step) -> None:
    step.write(f"{HAS_ALL}ml-torch-cuda = []\n").install(*EXTRAS, "ml-torch-cuda")
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
    assert done.stderr == "uv was run\n"


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
    assert done.returncode == 3, "a fork or a newer release could not be tried at all"
    assert done.stderr.splitlines() == [f"fleet:images.application: {warning}.", "uv was run"]


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
    assert done.stderr == "uv was run\n"
