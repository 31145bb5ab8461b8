"""The images at work: in containers without privileges, on a read-only root, as their user and as any of its group."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.progress import Progress
from queues import QUEUES
from tests.images.conftest import Uncaptured
from tests.images.container import Container, Pod, Unpacked, User
from tests.images.runtime.harness import Server, free_port, until
from toolchain import ensure

pytestmark = pytest.mark.images

OWN = User(65532, 65532)
ANYBODY = User(123456, 65532)  # as a cluster gives one that assigns users to namespaces; /etc/passwd does not know it
STRANGER = User(123456, 123456)
IMPORTS = {
    "worker": "dagster dagster_k8s dask.distributed ray.data pyiceberg s3fs neo4j typer prometheus_client "
    "opentelemetry.instrumentation.celery opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "executor": "sklearn.ensemble xgboost lightgbm catboost statsmodels.api prophet sktime.forecasting.naive "
    "pyod.models.iforest pypfopt cvxpy scs ray.data",
}
WRITABLE = """
import os
for folder, _, files in os.walk("/"):
    if folder.startswith(("/proc", "/dev")):
        continue
    for path in (folder, *(os.path.join(folder, name) for name in files)):
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(path)
"""
WRITE = """
import os
from alphaswarm import storage
left = storage.replace(storage.{folder}() / "left" / "here", b"it")
print(left)
os.remove(left)
os.rmdir(left.parent)
"""


def pod(unpacked: Unpacked, user: User) -> Pod:
    """As the fleet's own pods: nothing can be written but /tmp and the image's directories, which are mounted."""
    return Pod(user, ("/tmp", *unpacked.case.image.directories))  # noqa: S108


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("user", [OWN, ANYBODY], ids=["its-user", "any-user-of-its-group"])
def test_an_image_starts_on_a_read_only_root(unpacked: Unpacked, user: User) -> None:
    entrypoint = unpacked.case.built.config["Entrypoint"]
    shown = json.loads(ok(unpacked.run(pod(unpacked, user), *entrypoint, "show")))
    assert shown["image"] == unpacked.case.image.target
    assert set(shown["queues"]) == {queue.name for queue in QUEUES.of(unpacked.case.image)}


NAMES = """
import getpass, os, pwd, zipfile
print(getpass.getuser(), os.path.expanduser("~"))
print(pwd.getpwnam("nonroot").pw_dir)
zipfile.ZipFile("/tmp/all.zip", "w").write("/app")
"""


@pytest.mark.parametrize("user", [OWN, ANYBODY], ids=["its-user", "any-user-of-its-group"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Honolulu"])
def test_user_and_home_have_names_and_files_can_be_zipped_anywhere(unpacked: Unpacked, user: User, zone: str) -> None:
    somewhere = replace(pod(unpacked, user), env={"TZ": zone})
    assert ok(unpacked.run(somewhere, "python", "-c", NAMES)).split() == ["nonroot", "/tmp", "/tmp"]  # noqa: S108


def test_an_image_loads_what_its_extras_promise(unpacked: Unpacked) -> None:
    names = IMPORTS[unpacked.case.image.target].split()
    ok(unpacked.run(pod(unpacked, ANYBODY), "python", "-c", f"import {', '.join(names)}"))


@pytest.mark.parametrize("user", [OWN, ANYBODY], ids=["its-user", "any-user-of-its-group"])
def test_tasks_leave_files_where_nothing_is_mounted(unpacked: Unpacked, user: User) -> None:
    bare = Pod(user, mounted=(), read_only=False)
    for directory in unpacked.case.image.directories:
        folder = directory.rpartition("/")[2]
        done = unpacked.run(bare, "python", "-c", WRITE.format(folder=folder))
        assert ok(done).strip() == f"{directory}/left/here"


def test_a_user_outside_the_group_is_told_where_it_may_not_write(unpacked: Unpacked) -> None:
    bare = Pod(STRANGER, mounted=(), read_only=False)
    for directory in unpacked.case.image.directories:
        done = unpacked.run(bare, "python", "-c", WRITE.format(folder=directory.rpartition("/")[2]))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"PermissionError: [Errno 13] Permission denied: '{directory}/left'"


@pytest.mark.parametrize("user", [OWN, ANYBODY], ids=["its-user", "any-user-of-its-group"])
def test_a_container_can_change_nothing_of_its_image(unpacked: Unpacked, user: User) -> None:
    everybodys = {"/tmp", "/var/tmp", "/var/lock", "/run/lock"}  # noqa: S108 the base's, and nothing lies there
    homes = {"/home/nonroot"} if user == OWN else set()
    printed = ok(unpacked.run(Pod(user, mounted=(), read_only=False), "python", "-c", WRITABLE))
    assert set(printed.split()) <= {*unpacked.case.image.directories, *everybodys, *homes}


@pytest.fixture
def redis(uncaptured: Uncaptured, tmp_path: Path) -> Iterator[Server]:
    with uncaptured():
        ensure(["redis-server"], Progress())
    server = Server(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_worker_drains_its_queues_as_any_user_and_ends_on_sigterm(unpacked: Unpacked, redis: Server) -> None:
    reach = {"CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url, "ALPHASWARM_HEARTBEAT": "2"}
    surroundings = replace(pod(unpacked, ANYBODY), env=reach, host_network=True)
    names = [queue.name for queue in QUEUES.of(unpacked.case.image)]
    with unpacked.background(surroundings) as container:
        until(lambda: _green(container), "the worker is ready", within=180)
        answers = ok(container.exec("python", "-c", ASK, *names)).split()
        assert answers == names, "the image does not drain one of its queues"
        output = container.terminate()
        assert container.process.returncode == 0, output


# Celery's own task that returns what it is given: it says who drains the queue, and needs no extra.
ASK = """
import sys
from alphaswarm.tasks.celery_app import app
for queue in sys.argv[1:]:
    print(*app.send_task("celery.accumulate", args=(queue,), queue=queue).get(timeout=60))
"""


def _green(container: Container) -> bool:
    if container.process.poll() is not None:
        raise AssertionError(container.process.communicate()[0])
    return container.exec("python", "-m", "alphaswarm_runtime", "probe", "ready").returncode == 0
