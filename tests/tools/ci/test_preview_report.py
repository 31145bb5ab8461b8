"""What the report of a preview shows, and what it must not. The script runs as in the workflow.

`pulumi` here is a shell script with the output and exit status of the real one (recorded from 3.245.0); a test marked
`engine` runs the real one.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolchain import find

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "ci" / "preview.py"
CREATES = """\
Previewing update (dev):
+ pulumi:pulumi:Stack: (create)
    [urn=urn:pulumi:dev::fleet::pulumi:pulumi:Stack::fleet-dev]
    --outputs:--
    password: [secret]
Resources:
    + 3 to create
"""
SAME = "Previewing update (dev):\n  pulumi:pulumi:Stack: (same)\nResources:\n    3 unchanged\n"
DRIFTED = CREATES + "error: no changes were expected for preview but changes were proposed\n"
GITHUB_REFUSES_MORE = 65_536


@dataclass(frozen=True)
class Run:
    """One run of the script."""

    status: int
    log: str
    folder: Path
    arguments: str

    @property
    def report(self) -> str:
        return (self.folder / "report.md").read_text(encoding="utf-8")

    @property
    def outcome(self) -> str:
        return (self.folder / "outcome").read_text(encoding="utf-8").strip()


def run(tmp_path: Path, says: str, status: int = 0, *options: str, **environment: str) -> Run:
    (tmp_path / "says").write_text(says, encoding="utf-8")
    engine = tmp_path / "bin" / "pulumi"
    engine.parent.mkdir()
    engine.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/arguments\ncat {tmp_path}/says\nexit {status}\n')
    engine.chmod(0o755)
    path = f"{engine.parent}{os.pathsep}{os.environ['PATH']}"
    done = _script(tmp_path, "dev", *options, PATH=path, **environment)
    return Run(done.returncode, done.stdout, tmp_path / "into", (tmp_path / "arguments").read_text())


def _script(tmp_path: Path, stack: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, SCRIPT, "--stack", stack, "--into", tmp_path / "into", *options],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **environment},
    )


def test_a_preview_with_changes_shows_the_counts_before_the_difference(tmp_path: Path) -> None:
    result = run(tmp_path, CREATES)
    assert (result.status, result.outcome) == (0, "changes")
    assert result.report.index("+ 3 to create") < result.report.index("<details>") < result.report.index("(create)")
    assert "--expect-no-changes" not in result.arguments


def test_a_preview_without_changes_is_one_line_and_its_count(tmp_path: Path) -> None:
    result = run(tmp_path, SAME)
    assert (result.status, result.outcome) == (0, "unchanged")
    assert "no changes" in result.report
    assert "<details>" not in result.report


def test_a_preview_that_fails_fails_the_job_and_still_shows_why(tmp_path: Path) -> None:
    result = run(tmp_path, "error: fleet:namespace: given 7; a text\n", 1)
    assert (result.status, result.outcome) == (1, "failed")
    assert "given 7" in result.report


def test_drift_is_an_answer_and_not_a_failure(tmp_path: Path) -> None:
    result = run(tmp_path, DRIFTED, 7, "--drift")
    assert (result.status, result.outcome) == (0, "changes")
    assert {"--refresh", "--expect-no-changes"} <= set(result.arguments.split())


def test_a_comparison_that_fails_says_nothing_about_drift(tmp_path: Path) -> None:
    result = run(tmp_path, "error: no credentials\n", 1, "--drift")
    assert result.status == 1
    assert not result.folder.exists(), "a stack that nobody could look at would have its issue closed or rewritten"


@pytest.mark.parametrize("line", ["    ~ tags: one -> two", "é" * 200, "`" * 40])
def test_a_huge_preview_fits_a_comment_and_keeps_its_counts(tmp_path: Path, line: str) -> None:
    result = run(tmp_path, f"{line}\n" * 4_000 + CREATES)
    assert len(result.report.encode()) < GITHUB_REFUSES_MORE - 1_000
    assert "+ 3 to create" in result.report
    left_out = re.search(r"(\d+) more lines", result.report)
    assert left_out, "the reader is not told that something is missing"
    assert result.report.count(line) + int(left_out[1]) >= 4_000
    assert result.report.endswith("</details>\n"), "whatever follows in the comment would be folded away"


def test_text_from_the_pull_request_cannot_leave_its_fence(tmp_path: Path) -> None:
    result = run(tmp_path, "+ x: ````\n</details>\n````\n# Approved\n" + CREATES)
    fence = "`````"
    assert f"{fence}diff\n" in result.report
    inside = result.report.split(f"{fence}diff\n")[1].split(f"\n{fence}\n")[0]
    assert "# Approved" in inside


def test_the_log_obeys_no_command_in_the_engines_words(tmp_path: Path) -> None:
    result = run(tmp_path, "::set-env name=A::b\n" + CREATES)
    lines = result.log.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert 0 < lines.index("::set-env name=A::b") < lines.index(f"::{token}::")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_the_jobs_own_credentials_are_in_neither_log_nor_report(tmp_path: Path, name: str) -> None:
    result = run(tmp_path, "error: told hunter2-hunter2\n", 1, **{name: "hunter2-hunter2"})
    assert "hunter2" not in result.log + result.report
    assert "told [credential]" in result.report


def test_without_an_engine_the_message_says_what_to_run_first(tmp_path: Path) -> None:
    done = _script(tmp_path, "dev", PATH=str(tmp_path))
    assert done.returncode == 1
    assert ".github/actions/stack" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_the_real_engine_says_by_its_exit_status_that_something_differs(tmp_path: Path) -> None:
    pulumi = find("pulumi")
    if pulumi is None:
        pytest.skip("pulumi is not built yet: python -m toolchain pulumi")
    (tmp_path / "state").mkdir()
    project = tmp_path / "Pulumi.yaml"
    project.write_text("name: compared\nruntime: python\n")
    (tmp_path / "__main__.py").write_text('import pulumi\n\npulumi.export("one", 1)\n')
    environment = {
        "PATH": os.pathsep.join((str(_language_host(tmp_path)), str(pulumi.parent), os.environ["PATH"])),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PWD": str(tmp_path),
    }

    def engine(*arguments: str) -> None:
        done = subprocess.run(
            [pulumi, *arguments, "--stack", "dev", "--non-interactive"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def outcome() -> str:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--drift", "--stack", "dev", "--into", tmp_path / "into"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (tmp_path / "into" / "outcome").read_text().strip()

    engine("stack", "init")
    assert outcome() == "changes"
    engine("up", "--yes", "--skip-preview")
    assert outcome() == "unchanged"


def _language_host(tmp_path: Path) -> Path:
    from offline.launchers import install

    install(tmp_path / "bin", Path(sys.executable), ["pulumi-language-python"])
    return tmp_path / "bin"
