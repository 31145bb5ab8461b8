"""Applications that are no wheel, have no git, or depend on what has no wheel become images; what cannot run does not.

Each is small, needs Celery and one thing more, and is built with the real Dockerfile, which imports it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from queues import EXECUTOR, IMAGES, WORKER, Image
from tests.images.build_environment import BuildEnvironment
from tests.images.built import BuiltImage, ImageBuild, build
from tests.images.cases import FOLDER
from tests.images.locks import make_lock

pytestmark = pytest.mark.images

Files = Mapping[str, str]
Build = Callable[..., BuiltImage]

PROJECT = """
[project]
name = "desk"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["celery[redis]>=5.7,<6"{more}]
"""
HATCH = """
[build-system]
requires = ["hatchling==1.27.0"]
build-backend = "hatchling.build"
"""
TASKS = """
import celery
{imports}
app = celery.Celery("desk")

@app.task
def one():
    pass
"""
PLAIN: Files = {
    "pyproject.toml": PROJECT.format(more="") + HATCH,
    "desk/__init__.py": "",
    "desk/tasks.py": TASKS.format(imports=""),
}


@pytest.fixture
def built(environment: BuildEnvironment, tmp_path: Path) -> Build:
    """Build an image of an application, given as its files, on this machine's platform; extras there are none."""

    def make(files: Files, image: Image = WORKER, **build_args: str) -> BuiltImage:
        application = tmp_path / "application"
        for name, text in files.items():
            (application / name).parent.mkdir(parents=True, exist_ok=True)
            (application / name).write_text(text)
        make_lock(application, SETUPTOOLS_SCM_PRETEND_VERSION="0.1")  # where it is locked, there is a git
        arguments = {"CELERY_APP": "desk.tasks", "WORKER_EXTRAS": "", "EXECUTOR_EXTRAS": "", **build_args}
        platform = environment.builder.platforms[0]
        out = environment.scratch / "own-application"
        wanted = ImageBuild(FOLDER, image.target, (platform,), arguments, application=application)
        return build(environment, wanted, out)[platform]

    return make


def text(built: BuiltImage, name: str) -> str:
    """What a file of the image holds."""
    return built.files[name].head().decode()


def paths(built: BuiltImage) -> list[str]:
    """What comes after the dependencies on the path of imports."""
    return text(built, "venv/lib/python3.13/site-packages/alphaswarm.pth").split()


def test_a_project_without_a_wheel_is_installed_as_its_source_tree(built: Build) -> None:
    files = {
        "pyproject.toml": PROJECT.format(more="") + "[tool.uv]\npackage = false\n",
        "manage.py": "",
        "settings.py": "NAME = 'desk'\n",
        ".env": "PASSWORD=hunter2\n",
        "backend/desk/__init__.py": "",
        "backend/desk/tasks.py": TASKS.format(imports="import settings\nfrom desk.tests import factories"),
        "backend/desk/tests/__init__.py": "",
        "backend/desk/tests/factories.py": "",
        "models/page.html": "<p>the volume of the executor is elsewhere</p>",
    }
    image = built(files, EXECUTOR, SOURCE_ROOTS=". backend")
    assert paths(image) == ["/app/source/.", "/app/source/backend", "/runtime"]
    copied = {name.removeprefix("app/source/") for name in image.files if name.startswith("app/source/")}
    assert (files.keys() - {".env"}) <= copied
    assert not image.blobs_with(b"hunter2"), "whoever pulls the image can read it"
    assert image.env["CELERY_APP"] == "desk.tasks"


def test_a_workspace_is_installed_with_the_folders_of_its_members(built: Build) -> None:
    files = {
        "pyproject.toml": PROJECT.format(more=", 'prices'")
        + "[tool.uv]\npackage = false\n[tool.uv.workspace]\nmembers = ['packages/*']\n"
        + "[tool.uv.sources]\nprices = { workspace = true }\n",
        "src/desk/tasks.py": TASKS.format(imports="import prices, idna"),
        "packages/prices/pyproject.toml": PROJECT.format(more=", 'idna'").replace('"desk"', '"prices"') + HATCH,
        "packages/prices/src/prices/__init__.py": "",
    }
    image = built(files, SOURCE_ROOTS="src packages/prices/src")
    assert "app/source/packages/prices/src/prices/__init__.py" in image.files
    assert "venv/lib/python3.13/site-packages/idna/__init__.py" in image.files, "a member's own dependency"


def test_a_version_from_git_is_given_where_there_is_no_git(built: Build) -> None:
    project = PLAIN["pyproject.toml"].replace('version = "1.0"', 'dynamic = ["version"]')
    project = project.replace('"hatchling==1.27.0"', '"hatchling==1.27.0", "hatch-vcs==0.5.0"')
    files = {**PLAIN, "pyproject.toml": f"{project}[tool.hatch.version]\nsource = 'vcs'\n"}
    image = built(files, APPLICATION_VERSION="4.5.6")
    assert "\nVersion: 4.5.6\n" in text(image, "app/desk-4.5.6.dist-info/METADATA")


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.target)
def test_a_dependency_without_a_wheel_is_built_where_the_stack_asks_for_it(built: Build, image: Image) -> None:
    files = {
        **PLAIN,
        "pyproject.toml": PROJECT.format(more=", 'docopt==0.6.2'") + HATCH,
        "desk/tasks.py": TASKS.format(imports="import docopt"),
    }
    with pytest.raises(AssertionError, match=f"fleet:images.dependencies.{image.target} is then"):
        built(files, image)
    done = built(files, image, **{f"{image.target.upper()}_DEPENDENCIES": "pure"})
    assert "venv/lib/python3.13/site-packages/docopt.py" in done.files


@pytest.mark.parametrize(
    ("files", "celery_app", "said"),
    [
        ({"desk/tasks.py": TASKS.format(imports="import pandas")}, "desk.tasks", "No module named 'pandas'"),
        ({}, "desk.task", "No module named 'desk.task'"),
        ({"desk/tasks.py": "app = 7"}, "desk.tasks:app", "is a int and no Celery application"),
    ],
)
def test_what_a_worker_could_not_import_ends_the_build(built: Build, files: Files, celery_app: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        built({**PLAIN, **files}, CELERY_APP=celery_app)


@pytest.mark.parametrize(
    ("imports", "build_args"),
    [("import os\nos.environ['DATABASE_URL']", {}), ("import pandas", {"CHECK_IMPORT": "no"})],
    ids=["needs-its-pod", "unchecked"],
)
def test_what_only_a_pod_can_import_is_built(built: Build, imports: str, build_args: dict[str, str]) -> None:
    assert paths(built({**PLAIN, "desk/tasks.py": TASKS.format(imports=imports)}, **build_args)) == ["/app", "/runtime"]
