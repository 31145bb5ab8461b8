"""A build secret opens a private package index, and is nowhere in what was built with it.

A small application stands in for the platform's own, as the context of that name; the Dockerfile is the real one.
Besides Celery, which every application has, it needs a package from an index that asks for a password, so an image that
has the package was built with the secret.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from queues import WORKER
from tests.images.build_environment import BuildEnvironment
from tests.images.built import ImageBuild, build
from tests.images.cases import FOLDER
from tests.images.locks import make_lock
from tests.images.private_index import PACKAGE, PrivateIndex, private_index

pytestmark = pytest.mark.images

PROJECT = """
[project]
name = "alphaswarm"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["celery[redis]>=5.7,<6", "fleet-private"]

[project.optional-dependencies]
{extras}

[build-system]
requires = ["hatchling==1.27.0"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/alphaswarm"]

[[tool.uv.index]]
name = "private"
url = "{url}"
explicit = true

[tool.uv.sources]
fleet-private = {{ index = "private" }}
"""


@pytest.fixture
def index() -> Iterator[PrivateIndex]:
    with private_index("reader", secrets.token_hex(16)) as index:
        yield index


@pytest.fixture
def image_build(environment: BuildEnvironment, index: PrivateIndex, tmp_path: Path) -> ImageBuild:
    """The worker with an application that needs the index, and with the secret."""
    netrc = tmp_path / "netrc"
    netrc.write_text(index.netrc)
    application = make_application(tmp_path / "application", index, netrc)
    return ImageBuild(FOLDER, WORKER.target, (environment.builder.platforms[0],), application=application, netrc=netrc)


def test_a_secret_opens_a_private_index_and_is_in_no_layer_configuration_or_history(
    environment: BuildEnvironment, index: PrivateIndex, image_build: ImageBuild
) -> None:
    built = build(environment, image_build, environment.scratch / "private")[image_build.platforms[0]]
    assert f"venv/lib/python3.13/site-packages/{PACKAGE}/__init__.py" in built.files
    for secret in (index.password, index.header.removeprefix("Basic ")):
        assert not built.blobs_with(secret.encode()), "whoever pulls the image can read the secret"
    assert built.blobs_with(PACKAGE.encode()), "a name that is there is not found either: the search is broken"


def test_without_the_secret_the_build_stops_at_the_index(
    environment: BuildEnvironment, image_build: ImageBuild
) -> None:
    with pytest.raises(AssertionError, match="401 Unauthorized"):
        build(environment, replace(image_build, netrc=None), environment.scratch / "refused")


def make_application(folder: Path, index: PrivateIndex, netrc: Path) -> Path:
    """An application that the Dockerfile takes, locked."""
    package = folder / "src" / "alphaswarm"
    (package / "tasks").mkdir(parents=True)
    for module in (package, package / "tasks"):
        (module / "__init__.py").write_text("")
    # The build imports it, and with it what the index has.
    (package / "tasks" / "celery_app.py").write_text(f"import {PACKAGE}\nfrom celery import Celery\napp = Celery()\n")
    extras = "\n".join(f"{extra} = []" for extra in WORKER.extras)
    (folder / "pyproject.toml").write_text(PROJECT.format(extras=extras, url=index.url))
    make_lock(folder, NETRC=str(netrc))
    return folder
