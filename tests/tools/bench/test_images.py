"""The images' bench divides the right things, builds what it says, and leaves nothing; timings are asserted nowhere."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import CommandError
from common.progress import Progress
from local.builder import Builder
from queues import EXECUTOR, IMAGES, WORKER
from tests.images.dockerfiles import read
from tools.bench.images import build_environment, figures
from tools.bench.images.build_environment import ImageBuild
from tools.bench.images.figures import CUDA, FAT, FAT_CUDA, REPLACED, Ratio
from tools.bench.images.locked_wheels import locked_wheel_bytes
from tools.bench.plot import format_ratio

DOCKERFILE = Path(__file__).parents[3] / "images" / "Dockerfile"
APPLICATION = DOCKERFILE.parent / "reference_app"
MB = 1_000_000


def test_the_fat_image_has_every_extra_of_both_images_once() -> None:
    parsed, stage = read(DOCKERFILE), "executor-dependencies"
    (step,) = parsed.stages[stage].of("RUN")
    assert step.words[-1] == "${MORE_EXTRAS}", "the stage takes no further extras, so no fat image comes of it"
    extras = [*parsed.expanded(stage, step).split()[4:], *figures.fat_image_extras()]
    assert set(extras) == {extra for image in IMAGES for extra in image.extras}
    assert len(extras) == len(set(extras))


def test_an_extra_of_the_worker_alone_is_in_the_fat_image_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "IMAGES", (replace(WORKER, extras=(*WORKER.extras, "streaming")), EXECUTOR))
    assert figures.fat_image_extras() == ("streaming",)


def test_an_image_is_held_against_the_fat_images_of_its_own_architecture() -> None:
    sizes = {
        ("worker", "amd64"): 100 * MB, ("executor", "amd64"): 300 * MB, ("worker", "arm64"): 90 * MB,
        (FAT, "amd64"): 400 * MB, (FAT, "arm64"): 300 * MB, (FAT_CUDA, "amd64"): 4000 * MB,
        (REPLACED, "amd64"): 5000 * MB,
    }  # fmt: skip
    found = {ratio.label: ratio for ratio in figures.size_ratios(sizes)}
    assert {label: ratio.value for label, ratio in found.items()} == {
        "worker / one image for all queues, amd64": 0.25,
        "executor / one image for all queues, amd64": 0.75,
        "worker / one image for all queues, arm64": 0.3,
        "worker / the same with CUDA, amd64": 0.025,
        "executor / the same with CUDA, amd64": 0.075,
        "worker / that packed by gzip, as before, amd64": 0.02,
        "executor / that packed by gzip, as before, amd64": 0.06,
    }
    aims = {label: ratio.aim for label, ratio in found.items() if ratio.aim is not None}
    assert aims == {"worker / that packed by gzip, as before, amd64": figures.SLIM_AIM}


def test_an_image_is_held_against_its_base_and_its_wheels() -> None:
    ratio = figures.wheels_ratio("worker, amd64", 220 * MB, 20 * MB, 180 * MB)
    assert (ratio.value, ratio.aim) == (1.1, figures.WHEELS_AIM)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_locked_wheels_are_those_that_a_build_installs(architecture: str) -> None:
    plain = locked_wheel_bytes(APPLICATION, (), architecture)
    more = locked_wheel_bytes(APPLICATION, ("cli",), architecture)
    (typer,) = (
        one for one in tomllib.loads((APPLICATION / "uv.lock").read_text())["package"] if one["name"] == "typer"
    )
    assert more - plain >= typer["wheels"][0]["size"]
    with pytest.raises(CommandError, match="could not list"):
        locked_wheel_bytes(APPLICATION, ("no-such-extra",), architecture)


def test_a_rebuild_is_the_middle_one_over_the_cold_build() -> None:
    assert figures.rebuild_time_ratio(200.0, [9.0, 4.0, 5.0]).value == pytest.approx(0.025)
    assert figures.pushed_bytes_ratio(2000 * MB, [60_000, 40_000, 80_000]).value == pytest.approx(0.00003)


def test_readiness_names_the_ratio_of_the_best_starts_too() -> None:
    ratio = figures.start_time_ratio([3.0, 6.0, 4.0], [2.0, 2.0, 5.0])
    assert ratio.value == pytest.approx(2.0)
    assert "best of each 1.50" in ratio.of


@pytest.mark.parametrize(
    ("value", "text"), [(2.9, "2.90"), (0.4123, "0.41"), (0.0416, "0.042"), (0.0000271, "0.000027"), (0.0, "0.00")]
)
def test_a_small_ratio_is_not_shown_as_nothing(value: float, text: str) -> None:
    assert format_ratio(value) == text


def test_a_line_of_the_table_has_the_ratio_its_aim_and_what_was_divided() -> None:
    line = Ratio("worker / fat", 0.4, "1 MB of 2 MB", 0.15).line
    assert line.split() == ["worker", "/", "fat", "0.40", "aim", "0.15", "1", "MB", "of", "2", "MB"]


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (30_400, "30 kB"), (301 * MB, "301 MB"), (4_120 * MB, "4.12 GB")]
)
def test_sizes_are_shown_in_decimal_units(count: int, text: str) -> None:
    assert figures.format_bytes(count) == text


def test_only_the_image_for_gpus_gets_what_this_machine_leaves_out() -> None:
    builder = Builder("b", "unix:///b", {}, ("linux/amd64",), {}, leave_out="amd64/torch")
    usual = ImageBuild(EXECUTOR, "linux/amd64").arguments(builder)
    gpus = ImageBuild(EXECUTOR, "linux/amd64", (CUDA,), whole=True).arguments(builder)
    assert usual["LEAVE_OUT"] == "amd64/torch"
    assert "LEAVE_OUT" not in gpus
    assert gpus["MORE_EXTRAS"] == CUDA


def test_a_full_disk_is_an_error_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(CommandError, match="--quick"), build_environment.temporary_environment(Progress(), 10**9):
        raise AssertionError("it started all the same")
    assert not list(tmp_path.iterdir())
