"""The Compose files: valid, hardened as the pods are, without a secret, and with each queue in one service."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from queues import EXECUTOR, IMAGES, QUEUES, WORKER
from surfaces.compose import compose_files
from tests.own_rows import OWN_ROWS, catalogue

from .compose_file import PATHS, ROOT, compose, workers

NAMES = {"deploy/compose.yaml": (WORKER.name, EXECUTOR.name), "deploy/compose.legacy.yaml": ("worker", "worker-gpu")}
BEAT = {"deploy/compose.yaml": "alphaswarm-beat", "deploy/compose.legacy.yaml": "beat"}


def queues(service: dict[str, Any]) -> list[str]:
    return str(service["environment"]["ALPHASWARM_QUEUES"]).split(",")


@pytest.mark.parametrize("path", PATHS)
def test_each_queue_is_drained_by_the_service_of_its_image_alone(path: str) -> None:
    drained = dict(zip(NAMES[path], IMAGES, strict=True))
    assert {name: queues(service) for name, service in workers(path)} == {
        name: [queue.name for queue in QUEUES.of(image)] for name, image in drained.items()
    }
    for name, service in workers(path):
        assert service["build"]["target"] == drained[name].target
        assert service["image"].partition(":")[0] == drained[name].name


@pytest.mark.parametrize("path", PATHS)
def test_every_service_is_hardened_and_bounded(path: str) -> None:
    for name, service in compose(path)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert not service.get("privileged"), name
        assert "ports" not in service, f"{name} listens beyond the files' own network"
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name


@pytest.mark.parametrize("path", PATHS)
def test_the_password_is_in_a_file_and_nowhere_else(path: str) -> None:
    model = compose(path)
    assert model["secrets"] == {"redis-broker.json": {"file": "./secrets/redis-broker.json"}}
    for name, service in model["services"].items():
        assert service["secrets"] == ["redis-broker.json"], name
        assert not {"REDIS_BROKER", "REDIS_PASSWORD"} & service.get("environment", {}).keys(), name
    assert 'requirepass "$password"' in model["services"]["redis"]["command"][-1]


@pytest.mark.parametrize("path", PATHS)
def test_a_service_gets_as_long_to_stop_as_its_longest_task_may_take(path: str) -> None:
    for name, service in workers(path):
        given = int(service["stop_grace_period"].removesuffix("s"))
        longest = max(QUEUES.queue(queue).grace_period.total_seconds() for queue in queues(service))
        assert given >= longest, f"{name}: `docker compose stop` kills a task within its limit"


@pytest.mark.parametrize("path", PATHS)
def test_there_is_one_beat_which_drains_nothing(path: str) -> None:
    beats = {name: one for name, one in compose(path)["services"].items() if one["command"] == ["beat"]}
    assert list(beats) == [BEAT[path]]
    assert beats[BEAT[path]]["deploy"]["replicas"] == 1
    assert beats[BEAT[path]]["build"]["target"] == WORKER.target
    assert "ALPHASWARM_QUEUES" not in beats[BEAT[path]]["environment"]


def test_only_the_legacy_executor_has_the_machines_gpus() -> None:
    reserved = {
        (path, name): service["deploy"]["resources"]["reservations"].get("devices")
        for path in PATHS
        for name, service in compose(path)["services"].items()
    }
    wanted = max(queue.gpus for queue in QUEUES.of(EXECUTOR))
    devices = [{"driver": "nvidia", "count": wanted, "capabilities": ["gpu"]}]
    expected = {("deploy/compose.legacy.yaml", "worker-gpu"): devices} if wanted else {}
    assert {key: value for key, value in reserved.items() if value} == expected


def test_a_catalogue_without_gpus_reserves_none() -> None:
    with catalogue(OWN_ROWS):
        text = compose_files()["compose.legacy.yaml"]
    assert "nvidia" in text
    own = type(OWN_ROWS)(tuple(row for row in OWN_ROWS.queues if not row.gpus))
    with catalogue(own):
        text = compose_files()["compose.legacy.yaml"]
    assert "nvidia" not in text
    assert "cuda" not in text


@pytest.mark.parametrize("path", PATHS)
def test_what_a_container_may_write_to_is_mounted(path: str) -> None:
    for name, service in workers(path):
        image = WORKER if service["build"]["target"] == WORKER.target else EXECUTOR
        mounted = {volume.split(":")[1] for volume in service["volumes"]}
        assert mounted == set(image.directories), name
        assert service["tmpfs"] == ["/tmp:size=2048m,mode=1777"]  # noqa: S108 the container's own
        for variable, value in service["environment"].items():
            if value.startswith("/app/"):
                assert any(value.startswith(f"{folder}/") for folder in mounted), f"{name}: {variable} is read-only"


@pytest.mark.parametrize("path", PATHS)
def test_the_folders_that_it_builds_from_are_there(path: str) -> None:
    folder = (ROOT / path).parent
    for name, service in compose(path)["services"].items():
        if build := service.get("build"):
            assert (folder / build["context"] / "Dockerfile").is_file(), name
            assert (folder / build["additional_contexts"]["application"] / "pyproject.toml").is_file(), name


@pytest.mark.parametrize("path", PATHS)
def test_docker_compose_reads_the_file_as_these_tests_do(path: str, tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed here")
    done = subprocess.run(
        [docker, "compose", "-f", str(ROOT / path), "--profile", "send", "config", "--format", "json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]
    for name, service in compose(path)["services"].items():
        assert found[name]["command"] == service["command"]
        assert found[name].get("environment", {}) == service.get("environment", {})


def test_the_committed_files_are_what_is_written() -> None:
    for name, text in compose_files().items():
        assert yaml.safe_load((ROOT / "deploy" / name).read_text()) == yaml.safe_load(text)
