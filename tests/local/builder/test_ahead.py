"""Images built ahead: the real order of builds with a script in the place of buildctl."""

import io
import threading
from pathlib import Path

from common.progress import Progress
from config.schema import BuildImages
from local.builder.ahead import BuildAhead
from queues import IMAGES
from tests.waiting import eventually

OWN_APPLICATION = BuildImages.model_validate(
    {
        "source": "build",
        "application": "apps/own",
        "buildArgs": {"LEAVE_OUT": "amd64/torch"},
        "contexts": {"base": "/b"},
    }
)


def ahead(folder: Path, script: str) -> BuildAhead:
    buildctl = folder / "buildctl"
    buildctl.write_text(f'#!/bin/sh\necho "$*" >> "{folder}/calls"\n{script}\n')
    buildctl.chmod(0o755)
    return BuildAhead(buildctl, folder / "logs" / "build-ahead.log")


def run(building: BuildAhead, folder: Path) -> str:
    said = io.StringIO()
    building.run("unix:///b", folder, OWN_APPLICATION, OWN_APPLICATION.all_build_args("own.tasks"), Progress(said))
    return said.getvalue()


def calls(folder: Path) -> list[str]:
    file = folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_each_image_is_built_for_all_platforms_with_the_updates_arguments(tmp_path: Path) -> None:
    run(ahead(tmp_path, "exit 0"), tmp_path)
    assert [call for call in calls(tmp_path) if "output" in call] == [], "gigabytes were exported twice"
    for call, image in zip(calls(tmp_path), IMAGES, strict=True):
        assert f"--opt=target={image.target} " in call
        assert "--opt=platform=linux/amd64,linux/arm64 " in call
        assert "--opt=build-arg:LEAVE_OUT=amd64/torch" in call
        assert "--opt=build-arg:SOURCE_DATE_EPOCH=0" in call
        assert "--opt=build-arg:CELERY_APP=own.tasks" in call
        assert "--opt=context:base=local:base --local=base=/b" in call
        assert f"--opt=context:application=local:application --local=application={tmp_path}/apps/own" in call


def test_an_image_that_cannot_be_built_ahead_is_left_to_the_update(tmp_path: Path) -> None:
    said = run(ahead(tmp_path, "echo no space >&2; exit 1"), tmp_path)
    assert len(calls(tmp_path)) == 1
    assert "the update will try again" in said
    assert (tmp_path / "logs" / "build-ahead.log").read_text() == "no space\n"


def test_stopping_ends_the_build_that_runs_and_begins_no_other(tmp_path: Path) -> None:
    building = ahead(tmp_path, "exec sleep 600")
    thread = threading.Thread(target=run, args=(building, tmp_path))
    thread.start()
    eventually(lambda: len(calls(tmp_path)), 1, pause=0.02)
    building.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert len(calls(tmp_path)) == 1
