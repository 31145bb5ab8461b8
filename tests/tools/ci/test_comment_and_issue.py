"""The two steps that write to GitHub, run as they stand in the workflows, against a `gh` that only takes notes."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = Path(__file__).resolve().parents[3] / ".github" / "workflows"
GH = """#!/bin/bash
printf '%s\\n' "$*" >>calls
case "$*" in
  *--paginate* | 'issue list'*) cat existing ;;
esac
"""
COMMENT = {"REPOSITORY": "acme/fleet", "NUMBER": "7", "COMMIT": "abc", "RUN": "https://run", "STACK": "dev"}
MARKER = "<!-- alphaswarm-fleet preview of dev -->"
ISSUE = {"RUN": "https://run", "TITLE": "Stack dev differs from main"}


def step(workflow: str, job: str, name: str) -> Mapping[str, Any]:
    steps = yaml.safe_load((WORKFLOWS / f"{workflow}.yaml").read_text(encoding="utf-8"))["jobs"][job]["steps"]
    (found,) = [each for each in steps if each["name"] == name]
    assert isinstance(found, dict)
    return found


def run(folder: Path, found: Mapping[str, Any], existing: str, **environment: str) -> list[str]:
    """The calls of `gh`. The shell's options are those GitHub gives to `shell: bash`."""
    (folder / "bin").mkdir()
    (folder / "bin" / "gh").write_text(GH)
    (folder / "bin" / "gh").chmod(0o755)
    (folder / "existing").write_text(existing)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
        cwd=folder,
        env={"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "calls").read_text().splitlines()


def comment(folder: Path, existing: str, report: str | None) -> tuple[list[str], str]:
    if report is not None:
        (folder / "report").mkdir()
        (folder / "report" / "report.md").write_text(report)
    calls = run(folder, step("preview", "comment", "Comment"), existing, MARKER=MARKER, **COMMENT)
    return calls[1:], (folder / "body.md").read_text()


def issue(folder: Path, existing: str, outcome: str) -> list[str]:
    (folder / "report").mkdir()
    (folder / "report" / "report.md").write_text("what differs")
    (folder / "report" / "outcome").write_text(f"{outcome}\n")
    return run(folder, step("drift", "issue", "Issue"), existing, **ISSUE)[1:]


def test_the_first_preview_of_a_stack_writes_one_comment_under_its_marker(tmp_path: Path) -> None:
    calls, body = comment(tmp_path, "", "### Stack `dev`")
    assert calls == ["api --silent --method POST repos/acme/fleet/issues/7/comments --field body=@body.md"]
    assert body == f"{MARKER}\n### Stack `dev`\n\nCommit abc, [log](https://run)\n"


def test_a_later_preview_updates_that_comment_and_adds_none(tmp_path: Path) -> None:
    calls, _ = comment(tmp_path, "41\n42\n", "### Stack `dev`")
    assert calls == ["api --silent --method PATCH repos/acme/fleet/issues/comments/41 --field body=@body.md"]


def test_a_preview_that_left_no_report_replaces_the_old_comment_by_a_word(tmp_path: Path) -> None:
    calls, body = comment(tmp_path, "41\n", None)
    assert "PATCH" in calls[0], "the comment would go on showing the preview of an older commit"
    assert "### Stack `dev`: no preview\n" in body


def test_the_marker_is_the_steps_own_and_names_the_stack() -> None:
    found = step("preview", "comment", "Comment")
    assert found["env"]["MARKER"] == MARKER.replace("dev", "${{ matrix.stack }}")
    assert "startswith(env.MARKER)" in found["run"]
    assert "github-actions[bot]" in found["run"], "somebody else's comment that begins so would be overwritten"


def test_drift_opens_one_issue(tmp_path: Path) -> None:
    calls = issue(tmp_path, "", "changes")
    assert [call.split(" --")[0] for call in calls] == ["label create drift", "issue create"]
    assert "--title Stack dev differs from main --label drift --body-file body.md" in calls[1]


def test_drift_that_stays_updates_its_issue(tmp_path: Path) -> None:
    assert issue(tmp_path, "12\n", "changes") == ["issue edit 12 --body-file body.md"]


def test_an_issue_is_closed_when_its_drift_is_gone(tmp_path: Path) -> None:
    assert issue(tmp_path, "12\n", "unchanged") == ["issue close 12 --comment No difference any more: https://run"]


def test_without_drift_and_without_issue_nothing_is_written(tmp_path: Path) -> None:
    assert issue(tmp_path, "", "unchanged") == []
