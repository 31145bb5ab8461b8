"""The images as BuildKit made them: what is in them, what is not, and that they run as they will in a pod.

The builder is the checkout's own, so that after `make up` most of it comes from its cache.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.builder.opening import builder_to_start
from local.paths import this_checkout
from local.ports import Ports
from local.progress import Progress
from local.services.registry import Registry, RegistryTls
from local.toolchain import ensure
from queues import IMAGES, QUEUES, Image
from tests.images.built import BuildClient, BuiltImage

pytestmark = pytest.mark.images

FOLDER = Path(__file__).parents[2] / "images"
MACHINES = {"linux/amd64": 62, "linux/arm64": 183}  # ELF's numbers
CASES = [
    pytest.param((image, platform), id=f"{image.target}-{platform.rpartition('/')[2]}")
    for image in IMAGES
    for platform in image.platforms
]
IMPORTS = {
    "worker": "dagster dagster_k8s dask.distributed ray.data pyiceberg s3fs neo4j typer prometheus_client "
    "opentelemetry.instrumentation.celery opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "executor": "sklearn.ensemble xgboost lightgbm catboost statsmodels.api prophet sktime.forecasting.naive "
    "pyod.models.iforest pypfopt cvxpy scs ray.data",
}


@pytest.fixture(scope="session")
def client() -> Iterator[BuildClient]:
    paths, progress = this_checkout(), Progress()
    tools = ensure(["docker-registry", "buildctl"], progress)
    registry = Registry(tools["docker-registry"], paths, Ports(paths.run / "ports.json"), RegistryTls())
    ran = registry.status().running
    registry.start(progress)
    service = builder_to_start(paths, registry, progress)
    built = service.status().running
    yield BuildClient(service.start(progress), tools["buildctl"])
    if not built:
        service.stop()
    if not ran:
        registry.stop()


@pytest.fixture(scope="session", params=CASES)
def case(
    request: pytest.FixtureRequest, client: BuildClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Image, str, BuiltImage]]:
    image, platform = request.param
    if platform not in client.builder.platforms:
        pytest.skip(f"this machine cannot build for {platform}")
    out = tmp_path_factory.mktemp(image.target)
    yield image, platform, client.build(FOLDER, image.target, platform, out / "image")
    shutil.rmtree(out)


def test_an_image_starts_the_runtime_as_its_user(case: tuple[Image, str, BuiltImage]) -> None:
    image, platform, built = case
    assert f"linux/{built.image['architecture']}" == platform
    assert built.config["User"] == f"{image.uid}:{image.uid}"
    assert built.config["Entrypoint"] == ["tini", "--", "python", "-m", "alphaswarm_runtime"]
    assert built.config["Healthcheck"] == {"Test": ["NONE"]}
    assert built.env["ALPHASWARM_IMAGE"] == image.target
    assert built.config["Labels"]["io.alphaswarm.queues"].split(",") == [queue.name for queue in QUEUES.of(image)]


def test_only_the_images_own_directories_belong_to_its_user(case: tuple[Image, str, BuiltImage]) -> None:
    image, _, built = case
    owned = {f"/{name}" for name, info in built.files.items() if info.uid == image.uid}
    assert owned - {"/home/nonroot"} == set(image.directories)


def test_nobody_can_change_or_become_anything_in_an_image(case: tuple[Image, str, BuiltImage]) -> None:
    _, _, built = case
    regular = [info for info in built.files.values() if info.isreg()]
    assert not [info.name for info in regular if info.mode & 0o6000], "setuid or setgid"
    assert not [info.name for info in regular if info.mode & 0o022], "writable by group or world"


def test_nothing_of_the_building_stays_in_an_image(case: tuple[Image, str, BuiltImage]) -> None:
    _, _, built = case
    tools = re.compile(
        r"(usr/)?(local/)?s?bin/(gcc|cc|g\+\+|gfortran|ld|make|uv|uvx|pip3?|apk|apt|apt-get|dpkg|git|cargo)$"
    )
    left = re.compile(r"(^|/)(\.git|uv\.lock|\.netrc|pip|\.cache)$|^venv/\.lock$|^cache($|/)|/site-packages/\w+/tests/")
    assert not [name for name, info in built.files.items() if info.isreg() and tools.match(name)]
    assert not [name for name in built.files if left.search(name)]


def test_no_secret_is_in_an_image(case: tuple[Image, str, BuiltImage]) -> None:
    _, _, built = case
    secret = re.compile(rb"-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|AKIA[0-9A-Z]{16}\b")
    found = []
    for info, tar in built.contents():
        if info.isreg() and info.size < 1_000_000 and not info.name.startswith("venv/"):
            file = tar.extractfile(info)
            if file and secret.search(file.read()):
                found.append(info.name)
    assert not found
    assert not [name for name in built.env if re.search("PASSWORD|TOKEN|SECRET|KEY", name)]


def test_every_library_is_of_the_images_architecture(case: tuple[Image, str, BuiltImage]) -> None:
    _, platform, built = case
    wrong = []
    for info, tar in built.contents():
        if info.isreg() and re.search(r"\.so(\.\d+)*$", info.name) and (file := tar.extractfile(info)):
            head = file.read(20)
            if head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], "little") != MACHINES[platform]:
                wrong.append(info.name)
    assert not wrong


def test_an_image_loads_what_its_extras_promise(
    case: tuple[Image, str, BuiltImage], client: BuildClient, tmp_path: Path
) -> None:
    image, platform, built = case
    if platform != client.builder.platforms[0]:
        pytest.skip("runs on the other architecture")
    names = IMPORTS[image.target].split()
    script = f"""
id -u | grep -qx {image.uid}
python -c "import importlib; [importlib.import_module(name) for name in {names!r}]"
python -m alphaswarm_runtime show > /dev/null
"""
    client.run_in(built, script, tmp_path / "check")


def test_a_read_only_root_takes_nothing_from_an_image(
    case: tuple[Image, str, BuiltImage], client: BuildClient, tmp_path: Path
) -> None:
    image, platform, built = case
    if platform != client.builder.platforms[0]:
        pytest.skip("runs on the other architecture")
    script = """
find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/sys/*' ! -path '/dev/*' ! -path '/script*' 2>/dev/null \
    | sort | sed 's/^/writable: /'
"""
    printed = client.run_in(built, script, tmp_path / "check")
    writable = set(re.findall(r"writable: (\S+)", printed))
    everybodys = {"/home/nonroot", "/tmp", "/var/tmp", "/var/lock"}  # noqa: S108 the image's own, and nothing lies there
    assert writable <= {*image.directories, *everybodys}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.target)
def test_a_standalone_folder_builds_the_same_image_in_another_place(
    image: Image, client: BuildClient, tmp_path: Path
) -> None:
    moved = tmp_path / "repository"
    shutil.copytree(FOLDER / image.standalone_folder, moved)  # follows the links, as `cp -RL` does
    platform = client.builder.platforms[0]
    here = client.build(FOLDER, image.target, platform, tmp_path / "here")
    there = client.build(moved, image.target, platform, tmp_path / "there")
    assert there.digest == here.digest
