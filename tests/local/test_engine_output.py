"""What a log shows of the engine's output: its rows and diagnostics as Pulumi 3 prints them without a terminal."""

import io
import os
from pathlib import Path

import pytest

from local.engine_output import Condenser, condensed

IMAGE = "docker-build:index:Image alphaswarm-worker-amd64"
STEPS = [f" +  {IMAGE} creating ({second}s) #{second} [builder {second}/9] RUN install" for second in range(1, 9)]
BUILD = ["    #7 [builder 7/9] RUN apk add gcc", "    #7 0.310 OK: 12 MiB", "    #7 DONE 0.4s", ""]
FAILED = ["    #8 [builder 8/9] RUN install-code", "    #8 1.210 no such file", "    #8 ERROR: exit code: 1", ""]


def show(*lines: str, sign_of_life: float = 60.0) -> list[str]:
    return list(condensed(iter(lines), "LOG", sign_of_life))


def test_a_resource_is_a_line_where_it_begins_and_one_where_it_ends() -> None:
    created = f" +  {IMAGE} created (9s)"
    assert show(*STEPS, created) == [STEPS[0], created]


def test_two_resources_that_are_made_side_by_side_are_both_seen_to_begin() -> None:
    other = [step.replace("worker", "executor") for step in STEPS]
    assert show(*(line for pair in zip(STEPS, other, strict=True) for line in pair)) == [STEPS[0], other[0]]


def test_what_takes_long_gives_a_sign_of_life() -> None:
    assert show(*STEPS, sign_of_life=0.0) == STEPS


@pytest.mark.parametrize(
    "line",
    [
        " +  kubernetes:apps/v1:Deployment redis created (0.2s)",
        " ~  kubernetes:apps/v1:Deployment redis updated (0.2s) [diff: ~spec]",
        f" +  {IMAGE} **creating failed** error: failed to solve",
        f" +  {IMAGE} created (9s) 1 warning",
        "@ updating....",
        "Diagnostics:",
        f"  {IMAGE.replace(' ', ' (')}):",
        "    warning: the base is not Wolfi",
        "    error: failed to solve: process did not complete successfully: exit code: 1",
        "Resources:",
        "    + 42 created",
        "",
    ],
)
def test_states_that_are_final_and_whatever_else_is_said_are_shown_each_time(line: str) -> None:
    assert show(line, line) == [line, line]


def test_what_is_only_looked_at_is_not_a_line() -> None:
    assert show(" ~  kubernetes:apps/v1:Deployment redis refreshing (0s)", "    pulumi:pulumi:Stack x running ") == []


def test_of_a_failed_build_the_step_that_failed_is_shown_whole_and_the_rest_is_counted() -> None:
    error = "    error: failed to solve: exit code: 1"
    shown = show("Diagnostics:", *BUILD, *FAILED, error)
    assert shown == [
        "Diagnostics:",
        "    (3 lines of the build are left out here and stand in LOG)",
        *FAILED[:3],
        error,
    ]


def test_the_log_has_every_line_and_the_reader_few(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log, out = tmp_path / "pulumi-up.log", io.StringIO()
    with os.fdopen(reading, "rb") as source, Condenser(source, log, out):
        os.write(writing, "\n".join(STEPS).encode() + b"\n\xff\n")
        os.close(writing)
    assert log.read_text().splitlines() == [*STEPS, "\ufffd"]
    assert out.getvalue().splitlines() == [STEPS[0], "\ufffd"]


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_reader_that_is_gone_does_not_stop_the_engine(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = tmp_path / "pulumi-up.log"
    lines = [f"line {number}" for number in range(20_000)]  # more than a pipe holds
    with os.fdopen(reading, "rb") as source, Condenser(source, log, Gone()), os.fdopen(writing, "w") as engine:
        engine.write("\n".join(lines))
    assert log.read_text().splitlines() == lines
