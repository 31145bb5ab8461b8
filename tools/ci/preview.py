"""Runs `pulumi preview` of a stack, and writes the report that GitHub shows.

The engine's output is untrusted: who writes the pull request chooses parts of it. It is never given to a shell or put
into a template. In the log workflow commands are stopped around it, and in the report it is in a code fence that is
longer than any in it. The folder `--into` gets

    report.md   a heading, the engine's closing lines, and the whole difference, folded; at most LIMIT bytes
    outcome     one word: changes, unchanged or failed

With `--drift` the state is refreshed from the cloud first, a difference is no failure, and nothing is written when the
preview fails.
"""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LIMIT = 60_000  # GitHub refuses a comment of more than 65,536; the workflows add a few hundred
SUMMARY_LIMIT = 6_000  # characters, so at most 24,000 bytes
SUMMARY_LINES = 25
NOTE = 200  # bytes for the fences and the note on what was left out
CHANGES_PROPOSED = 7  # the engine's exit status when --expect-no-changes does not hold
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
UNCHANGED = re.compile(r"\s*\d+ unchanged\s*")


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return 0 when there is a preview, with changes or without."""
    parser = argparse.ArgumentParser(prog="preview.py", description="Preview one stack, and report it.")
    parser.add_argument("--stack", required=True, help="the stack's name")
    parser.add_argument("--into", required=True, type=Path, help="folder for the report")
    parser.add_argument("--drift", action="store_true", help="compare the cloud with the program")
    asked = parser.parse_args(arguments)
    if shutil.which("pulumi") is None:
        print(
            "There is no `pulumi` on PATH. In a workflow, run the action .github/actions/stack first.", file=sys.stderr
        )
        return 1
    status, text = preview(asked.stack, drift=asked.drift)
    outcome = outcome_of(status, text, drift=asked.drift)
    if asked.drift and outcome == "failed":
        return 1
    asked.into.mkdir(parents=True, exist_ok=True)
    (asked.into / "report.md").write_text(report(asked.stack, outcome, text, drift=asked.drift), encoding="utf-8")
    (asked.into / "outcome").write_text(f"{outcome}\n", encoding="utf-8")
    return 1 if outcome == "failed" else 0


def preview(stack: str, *, drift: bool) -> tuple[int, str]:
    """Run the engine, with its output in the log; return its exit status and output."""
    command = ["pulumi", "preview", "--diff", "--color", "never", "--non-interactive", "--suppress-progress"]
    command += ["--refresh", "--expect-no-changes"] if drift else []
    with (
        workflow_commands_stopped(),
        subprocess.Popen(
            [*command, "--stack", stack],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as engine,
    ):
        lines = []
        for line in engine.stdout or ():
            lines.append(redacted(line))
            print(lines[-1], end="", flush=True)
        status = engine.wait()
    return status, "".join(lines)


def redacted(text: str) -> str:
    """Remove this job's credentials from a text. The engine hides the stack's secrets, but does not know these."""
    for value in (os.environ.get(name, "") for name in CREDENTIALS):
        if value:
            text = text.replace(value, "[credential]")
    return text


@contextmanager
def workflow_commands_stopped() -> Iterator[None]:
    """Stop workflow commands: GitHub runs none in what is printed meanwhile."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"\n::{token}::", flush=True)


def outcome_of(status: int, text: str, *, drift: bool) -> str:
    """Return the outcome as one word."""
    if status == CHANGES_PROPOSED:
        return "changes"
    if status != 0:
        return "failed"
    counts = [line for line in closing_lines(text) if line.startswith(" ")]
    return "unchanged" if drift or all(map(UNCHANGED.fullmatch, counts)) else "changes"


def closing_lines(text: str) -> list[str]:
    """Return the engine's count of resources and what follows; the last lines when there is no count."""
    lines = text.rstrip().splitlines()
    counts = [number for number, line in enumerate(lines) if line == "Resources:"]
    return lines[counts[-1] :] if counts else lines[-SUMMARY_LINES:]


def report(stack: str, outcome: str, text: str, *, drift: bool) -> str:
    """Return the report in Markdown: the whole summary, and of the difference what fits."""
    heading = f"### Stack `{stack}`: {_title(outcome, drift=drift)}\n\n"
    summary = "\n".join(closing_lines(text))[-SUMMARY_LIMIT:]
    head = heading + _fenced(summary, "text") + "\n"
    if outcome == "unchanged":
        return head
    before, after = "\n<details><summary>The whole difference</summary>\n\n", "\n</details>\n"
    room = LIMIT - _size(head + before + after) - NOTE
    return head + before + _fitting(text.rstrip(), room) + after


def _title(outcome: str, *, drift: bool) -> str:
    return {
        "unchanged": "no changes",
        "changes": "what stands differs from `main`" if drift else "this would change",
        "failed": "the preview failed",
    }[outcome]


def _fitting(text: str, room: int) -> str:
    """Return the lines of a text that fit, and how many did not."""
    lines = list(_lines_within(text, room - 2 * _longest_run(text)))
    left_out = len(text.splitlines()) - len(lines)
    note = f"\n{left_out} more lines: they are in the job's log.\n" if left_out else ""
    return _fenced("\n".join(lines), "diff") + note


def _lines_within(text: str, room: int) -> Iterator[str]:
    for line in text.splitlines():
        room -= _size(line) + 1
        if room < 0:
            return
        yield line


def _size(text: str) -> int:
    return len(text.encode())


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
