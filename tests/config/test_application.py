"""An application that cannot become both images is refused by its key, before anything is registered."""

import re
from pathlib import Path
from typing import Any

import pytest
from pulumi import RunError

from config.application import FOLDER_OR_COMMIT, PYTHON, Wanted, folder_findings, reference_error
from config.schema import CELERY_APP, KEYS_OF_BUILD_ARGS
from queues import IMAGES
from tests.images.locks import FITS, REFUSED, TAKEN, WARNED, lock, table
from tests.program.harness import STACKS, configuration, fail, program, run, secrets_of

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "https://git.example.com/research/tasks.git"
EVERY_EXTRA = list(dict.fromkeys(extra for image in IMAGES for extra in image.extras))

FULL_COMMITS = (
    f"{REPOSITORY}#{COMMIT}",
    f"{REPOSITORY}#{COMMIT}:services/tasks",
    f"https://git.example.com:8443/a/b/c.git#{COMMIT}",
)
FOLDERS = ("images/reference_app", "../app", "./app", "/srv/app", "app.git", "git-hub.com/app")
MOVING = {
    REPOSITORY: "HEAD",
    f"{REPOSITORY}#main": "main",
    f"{REPOSITORY}#v1.2.3": "v1.2.3",
    f"{REPOSITORY}#refs/heads/main:tasks": "refs/heads/main",
    f"{REPOSITORY}#0123456": "0123456",
    f"{REPOSITORY}#{COMMIT[:39]}": COMMIT[:39],
    f"{REPOSITORY}#{COMMIT}0": f"{COMMIT}0",
    f"{REPOSITORY}#:tasks": "HEAD",
}
OTHERS = (
    f"http://git.example.com/tasks.git#{COMMIT}",
    f"git://git.example.com/tasks.git#{COMMIT}",
    f"https://git.example.com/tasks#{COMMIT}",
    f"{REPOSITORY}?ref=main#{COMMIT}",
    "https://example.com/tasks.tar.gz",
    "github.com/research/tasks",
    "docker-image://registry.example.com/tasks:1",
)
OVER_SSH = (f"git@github.com:research/tasks.git#{COMMIT}", f"ssh://git@git.example.com/tasks.git#{COMMIT}")


def project(**changes: Any) -> str:  # noqa: ANN401 any TOML, as text
    """A pyproject.toml with every extra of both images, or some of them."""
    extras = changes.get("extras", EVERY_EXTRA)
    lines = ["[project]", 'name = "tasks"', *changes.get("lines", ()), "[project.optional-dependencies]"]
    return "\n".join([*lines, *(f"{extra} = []" for extra in extras), "[build-system]"])


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder that has all it needs."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(project())
    (folder / "uv.lock").write_text(FITS)
    return folder


def building(application: Path | str, **images: object) -> dict[str, Any]:
    """Stack `local`, building that application."""
    return configuration("local", images={"source": "build", "application": str(application), **images})


def refusal(application: Path | str, **images: object) -> str:
    """What the program says of it, having registered nothing."""
    failure = fail(building(application, **images), secrets_of("local"))
    assert isinstance(failure.error, RunError), "the engine would show a traceback"
    assert not failure.registrations
    return str(failure.error)


# --- git references ---


@pytest.mark.parametrize("given", [*FULL_COMMITS, *FOLDERS])
def test_a_folder_and_a_full_commit_are_taken(given: str) -> None:
    assert reference_error(given) is None
    assert re.fullmatch(FOLDER_OR_COMMIT, given), "an editor would mark it"


@pytest.mark.parametrize("given", MOVING)
def test_a_reference_that_can_move_is_refused_with_the_way_to_its_commit(given: str) -> None:
    said = reference_error(given)
    assert said is not None
    assert said.startswith(f"{MOVING[given]!r} is no full commit")
    assert f"git ls-remote {REPOSITORY}`" in said
    assert not re.fullmatch(FOLDER_OR_COMMIT, given), "an editor would not mark it"


@pytest.mark.parametrize("given", [*OTHERS, *OVER_SSH])
def test_what_cannot_be_built_from_is_refused_with_what_can(given: str) -> None:
    said = reference_error(given)
    assert said is not None
    assert "allowed: a folder, or https://host/repository.git#<commit>" in said
    assert not re.fullmatch(FOLDER_OR_COMMIT, given)


@pytest.mark.parametrize("given", OVER_SSH)
def test_a_reference_over_ssh_says_why_not(given: str) -> None:
    assert "over SSH even a preview would need this machine's agent" in str(reference_error(given))


def test_a_token_in_the_reference_is_refused_without_being_repeated() -> None:
    said = refusal(f"https://x:hunter2@git.example.com/tasks.git#{COMMIT}")
    assert "a token there would stand in the state as plain text; set it as fleet:gitToken" in said
    assert "hunter2" not in said


def test_a_moving_reference_stops_the_program() -> None:
    assert f"fleet:images.application: given '{REPOSITORY}#main'; 'main' is no full commit" in refusal(
        f"{REPOSITORY}#main"
    )


def test_the_application_has_one_key_and_not_two() -> None:
    said = refusal("images/reference_app", contexts={"application": "../app"})
    assert "fleet:images.contexts.application: set fleet:images.application instead" in said


# --- folders ---


def test_a_folder_with_all_it_needs_is_built(app: Path) -> None:
    assert folder_findings(app, Wanted())[0] == []
    found = run(building(app), secrets_of("local"), preview=True)
    for image in found.every("docker-build:index:Image"):
        assert image.inputs["context"]["named"] == {"application": {"location": str(app)}}


def test_the_reference_application_has_all_it_needs() -> None:
    assert folder_findings(ROOT / "images/reference_app", Wanted({"alphaswarm-executor": ["ml-torch-cuda"]}))[0] == []


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_a_missing_folder_is_named_before_anything_is_registered(preview: bool) -> None:
    failure = fail(building("../no-such-app"), secrets_of("local"), preview=preview)
    assert "fleet:images.application: given '../no-such-app'; there is no such folder" in str(failure.error)
    assert not failure.registrations


def test_each_missing_file_is_named(app: Path) -> None:
    (app / "pyproject.toml").unlink()
    (app / "uv.lock").unlink()
    said = refusal(app)
    assert "it has no pyproject.toml" in said
    assert "it has no uv.lock" in said
    assert "run `uv lock`" in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[project", "its pyproject.toml is not TOML"),
        (b"\xff\xfe", "its pyproject.toml is not TOML"),
        (b"", "has no [project] table"),
        (b"project = 1", "has no [project] table"),
        (b"[tool.ruff]", "has no [project] table, which uv reads; run `uv init --bare` there"),
        (b"[tool.poetry]", "has no [project] table, which uv reads, but one of poetry; run `uvx migrate-to-uv` there"),
        (b"[project]\noptional-dependencies = 1", "[project.optional-dependencies] is no table"),
        (b"[project]\nrequires-python = 3.13", "its requires-python is 3.13"),
        (b"[project]\nrequires-python = ['>=3.12']", "its requires-python is ['>=3.12']"),
        (b"[project]\nrequires-python = 'three'", "its requires-python is 'three'"),
        (b"[project]\ndynamic = 7", "lacks"),
    ],
)
def test_a_project_file_that_cannot_be_used_is_refused_for_what_is_wrong_with_it(
    app: Path, content: bytes, expected: str
) -> None:
    (app / "pyproject.toml").write_bytes(content)
    assert expected in refusal(app)


def test_a_project_file_that_cannot_be_read_is_refused(app: Path) -> None:
    (app / "pyproject.toml").unlink()
    (app / "pyproject.toml").mkdir()
    assert "its pyproject.toml cannot be read" in refusal(app)


@pytest.mark.parametrize("case", TAKEN)
def test_a_lock_that_fits_the_runtime_is_taken(app: Path, case: str) -> None:
    (app / "uv.lock").write_text(TAKEN[case])
    assert folder_findings(app, Wanted())[0] == []


@pytest.mark.parametrize("case", REFUSED)
def test_a_lock_that_does_not_fit_the_runtime_is_refused_in_one_line(app: Path, case: str) -> None:
    text, parts = REFUSED[case]
    (app / "uv.lock").write_text(text)
    (line,) = refusal(app).splitlines()[1:]
    assert line.startswith("  fleet:images.application: given ")
    assert [part for part in parts if part not in line] == []


def test_each_package_that_does_not_fit_has_its_line(app: Path) -> None:
    (app / "uv.lock").write_text(lock(celery="5.5.3", kombu="5.5.4", billiard="4.2.4"))
    said = refusal(app)
    assert "3 errors" in said
    for package in ("celery 5.5.3", "kombu 5.5.4", "billiard 4.2.4"):
        assert said.count(f"its uv.lock has {package}") == 1


@pytest.mark.parametrize("case", WARNED)
def test_a_lock_that_may_well_fit_is_built_with_a_warning(app: Path, case: str) -> None:
    text, warning = WARNED[case]
    (app / "uv.lock").write_text(text)
    found = run(building(app), secrets_of("local"), preview=True)
    assert found.every("docker-build:index:Image")
    assert f"fleet:images.application: {warning}." in found.warnings()


def test_a_folder_of_pips_says_how_it_becomes_one_of_uvs(app: Path) -> None:
    (app / "pyproject.toml").unlink()
    (app / "requirements.txt").write_text("celery[redis]\n")
    assert "names its dependencies; run `uv init --bare && uv add -r requirements.txt` there" in refusal(app)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            '{ git = "https://me:hunter2@git.example.com/quant.git?rev=main#0123" }',
            "its uv.lock has quant from the repository https://git.example.com/quant.git, and a build has no git",
        ),
        ('{ git = "ssh://git@git.example.com/quant.git#0123" }', "the repository ssh://git.example.com/quant.git,"),
        ('{ path = "vendor/quant-1-py3-none-any.whl" }', "its uv.lock has quant from the file vendor/quant-1-py3-none"),
    ],
)
def test_a_package_that_no_build_can_fetch_draws_a_warning(app: Path, source: str, said: str) -> None:
    """Only the build knows whether an image needs it: it may be a tool of the application's developers."""
    (app / "uv.lock").write_text(lock(table("quant", "1", source)))
    found = run(building(app), secrets_of("local"), preview=True)
    (warning,) = [text for text in found.warnings() if "quant" in text]
    assert said in warning
    assert "hunter2" not in warning


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_as_they_are_warn_of_no_lock(stack: str) -> None:
    assert [text for text in program(stack, preview=True).warnings() if "uv.lock" in text] == []


def test_a_lock_that_cannot_be_read_is_refused(app: Path) -> None:
    (app / "uv.lock").unlink()
    (app / "uv.lock").mkdir()
    assert "its uv.lock cannot be read" in refusal(app)


@pytest.mark.parametrize("extra", EVERY_EXTRA)
def test_a_missing_extra_is_named_with_every_image_that_needs_it(app: Path, extra: str) -> None:
    (app / "pyproject.toml").write_text(project(extras=[each for each in EVERY_EXTRA if each != extra]))
    said = refusal(app)
    images = [image.name for image in IMAGES if extra in image.extras]
    assert f"has no extra {extra!r}, which {' and '.join(images)} need" in said
    assert "add it to [project.optional-dependencies]" in said


def test_all_missing_extras_are_named_at_once(app: Path) -> None:
    (app / "pyproject.toml").write_text(project(extras=[]))
    said = refusal(app)
    assert f"lacks {len(EVERY_EXTRA)} extras" in said
    assert [extra for extra in EVERY_EXTRA if f"{extra!r}" not in said] == []


def test_an_extra_that_the_stack_adds_must_be_there_too(app: Path) -> None:
    said = refusal(app, buildArgs={"MORE_EXTRAS": "ml-torch-cuda otel"})
    assert "has no extra 'ml-torch-cuda', which alphaswarm-executor needs" in said


def test_another_application_names_extras_of_its_own_for_each_image(app: Path) -> None:
    (app / "pyproject.toml").write_text(project(extras=["web", "models", "gpu"]))
    (app / "uv.lock").write_text((ROOT / "images/reference_app/uv.lock").read_text())
    images = {"source": "build", "application": str(app), "extras": {"worker": ["web"], "executor": ["web", "models"]}}
    found = run(configuration("dev", images=images), {})
    arguments = [one.inputs["buildArgs"] for one in found.every("docker-build:index:Image")]
    assert {(one["WORKER_EXTRAS"], one["EXECUTOR_EXTRAS"]) for one in arguments} == {("web", "web models")}
    wrong = {**images, "extras": {"worker": [], "executor": ["web", "modelz"]}}
    failure = fail(configuration("dev", images=wrong), {})
    assert "has no extra 'modelz', which alphaswarm-executor needs" in str(failure.error)
    assert "fleet:images.extras" in str(failure.error)
    without = {**images, "extras": {"worker": [], "executor": []}}
    (first, *_) = run(configuration("dev", images=without), {}).every("docker-build:index:Image")
    assert (first.inputs["buildArgs"]["WORKER_EXTRAS"], first.inputs["buildArgs"]["EXECUTOR_EXTRAS"]) == ("", "")


def test_an_extra_may_be_spelt_as_uv_accepts_it(app: Path) -> None:
    (app / "pyproject.toml").write_text(project(extras=[extra.replace("-", "_").upper() for extra in EVERY_EXTRA]))
    assert folder_findings(app, Wanted())[0] == []


def test_extras_that_only_the_build_backend_knows_are_left_to_the_build(app: Path) -> None:
    (app / "pyproject.toml").write_text('[project]\nname = "a"\ndynamic = ["optional-dependencies"]\n[build-system]')
    assert folder_findings(app, Wanted())[0] == []


@pytest.mark.parametrize("requires", [">=3.13", ">=3.11,<4", "==3.13.*", "~=3.13.2", ">=3.13.5,<3.14", ""])
def test_a_project_that_allows_the_images_python_is_taken(app: Path, requires: str) -> None:
    (app / "pyproject.toml").write_text(project(lines=[f'requires-python = "{requires}"']))
    assert folder_findings(app, Wanted())[0] == []


@pytest.mark.parametrize("requires", [">=3.14", "<3.13", "==3.12.*", ">=3.10,!=3.13.*"])
def test_a_project_that_excludes_the_images_python_is_refused(app: Path, requires: str) -> None:
    (app / "pyproject.toml").write_text(project(lines=[f'requires-python = "{requires}"']))
    assert f"its requires-python is {requires!r}, and the images have Python 3.13" in refusal(app)


def test_a_stack_chooses_the_images_python(app: Path) -> None:
    (app / "pyproject.toml").write_text(project(lines=['requires-python = ">=3.14"']))
    assert "or set fleet:images.python to 3.14" in refusal(app)
    assert arguments(app, python="3.14")["PYTHON"] == "3.14"
    assert "given '3.11'; allowed: '3.12', '3.13', '3.14'" in refusal(app, python="3.11").replace(" or ", ", ")


@pytest.mark.parametrize("file", sorted((ROOT / "images").glob("**/Dockerfile")), ids=lambda file: file.parent.name)
def test_the_dockerfiles_have_what_the_program_leaves_to_them(file: Path) -> None:
    text = file.read_text()
    if "ARG PYTHON" in text:  # base/ only names a digest
        assert f"\nARG PYTHON={PYTHON}\n" in text
        assert f"\nARG CELERY_APP={CELERY_APP}\n" in text
        assert set(re.findall(r"^ARG \w+_DEPENDENCIES=(.*)$", text, re.MULTILINE)) == {"wheels"}


def test_a_stack_that_uses_none_of_it_passes_what_it_did_before(app: Path) -> None:
    found = arguments(app).keys() - {"CELERY_APP"}  # a fleet of other queues has another application
    assert found == {"SOURCE_DATE_EPOCH", "CONTEXT_application"}


def arguments(app: Path, **images: object) -> dict[str, str]:
    """The build arguments of both images, with AlphaSwarm's extras."""
    found = run(building(app, **images), secrets_of("local"), preview=True)
    first, *others = [one.inputs["buildArgs"] for one in found.every("docker-build:index:Image")]
    assert all(other == first for other in others)
    return dict(first)


# --- code without a wheel ---


def test_an_application_that_is_no_package_names_the_folders_to_import_from(app: Path) -> None:
    (app / "pyproject.toml").write_text(project().replace("[build-system]", "[tool.uv]\npackage = false"))
    assert "it has no wheel; name in fleet:images.sourceRoots" in refusal(app)
    (app / "backend").mkdir()
    assert arguments(app, sourceRoots=[".", "backend"])["SOURCE_ROOTS"] == ". backend"
    assert "it has no folder 'back', which fleet:images.sourceRoots names" in refusal(app, sourceRoots=["back"])


@pytest.mark.parametrize("root", ["..", "../other", "/app", "src/../..", "a b", ".hidden", "src/", ""])
def test_a_source_root_lies_in_the_application(app: Path, root: str) -> None:
    assert "fleet:images.sourceRoots[0]" in refusal(app, sourceRoots=[root])


def test_a_version_that_git_would_say_is_given(app: Path) -> None:
    text = project().replace("[build-system]", "[build-system]\nrequires = ['setuptools-scm>=8']")
    (app / "pyproject.toml").write_text(text.replace("[project]", "[project]\ndynamic = ['version']"))
    assert "pulumi config set --path fleet:images.version" in refusal(app)
    assert arguments(app, version="v1.2.3")["APPLICATION_VERSION"] == "v1.2.3"
    assert "fleet:images.version" in refusal(app, version="1.2.3 (now)")
    assert "no wheel is built that would have a version" in refusal(app, version="1", sourceRoots=["."])


@pytest.mark.parametrize(
    ("source", "roots", "said"),
    [
        ('{ editable = "packages/one" }', [], "one in packages/one, which is installed with the source tree alone"),
        ('{ virtual = "packages/one" }', ["src"], "one in packages/one, which is installed with the source tree alone"),
        ('{ directory = "../one" }', ["."], "one in ../one, outside the application"),
        ('{ editable = "packages/one" }', ["src", "packages/one/src"], None),
        ('{ editable = "." }', [], None),
    ],
)
def test_packages_in_folders_come_with_the_source_tree(
    app: Path, source: str, roots: list[str], said: str | None
) -> None:
    for root in ("src", "packages/one/src"):
        (app / root).mkdir(parents=True)
    (app / "uv.lock").write_text(lock(table("one", source=source)))
    errors, _ = folder_findings(app, Wanted(source_roots=roots))
    about = [error for error in errors if "its uv.lock has one" in error]
    assert len(about) == len(errors) == (1 if said else 0)
    assert not said or said in about[0]


# --- how it is installed ---


def test_dependencies_are_installed_from_sources_where_the_stack_says_so(app: Path) -> None:
    found = arguments(app, dependencies={"worker": "pure", "executor": "compiled"})
    assert (found["WORKER_DEPENDENCIES"], found["EXECUTOR_DEPENDENCIES"]) == ("pure", "compiled")
    assert "fleet:images.dependencies.worker" in refusal(app, dependencies={"worker": "source"})


def test_the_build_imports_the_stacks_own_application(app: Path) -> None:
    found = run({**building(app), "celeryApp": "config.celery:app"}, secrets_of("local"), preview=True)
    assert {one.inputs["buildArgs"]["CELERY_APP"] for one in found.every("docker-build:index:Image")} == {
        "config.celery:app"
    }
    assert arguments(app, checkImport=False)["CHECK_IMPORT"] == "no"


@pytest.mark.parametrize(("name", "key"), KEYS_OF_BUILD_ARGS.items())
def test_what_has_a_key_of_its_own_is_no_build_argument(app: Path, name: str, key: str) -> None:
    said = refusal(app, buildArgs={name: "x"})
    assert f"fleet:images.buildArgs.{name}: set {key} instead, which is checked" in said


def test_other_problems_are_reported_together_with_the_applications(app: Path) -> None:
    (app / "uv.lock").unlink()
    failure = fail({**building(app), "layout": "both"}, secrets_of("local"))
    assert "2 errors" in str(failure.error)
    assert "fleet:layout" in str(failure.error)
    assert "fleet:images.application" in str(failure.error)


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_a_stack_that_builds_nothing_needs_no_application(
    stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(configuration(stack), {}, preview=True).workers(), "the program did not run"
