"""The Dockerfiles, parsed, against the catalogue.

Some of their lines are written from it: what counts here is what the instructions come to, which a stage that does not
declare an argument, or a hand-written value beside it, would change.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from queues import EXECUTOR, HEAVY_QUEUES, IMAGES, QUEUES, WORKER, Image
from tests.images import dockerfiles
from tests.images.dockerfiles import Dockerfile, Instruction, expanded

FOLDER = Path(__file__).parents[2] / "images"
ROOT = FOLDER / "Dockerfile"
FILES = (ROOT, *(FOLDER / image.standalone_folder / "Dockerfile" for image in IMAGES))
SCRIPTS = sorted(file for file in (FOLDER / "build").iterdir() if file.is_file())
PACKAGE_STAGES = {"base", "toolchain", "compilers"}
CASES = [
    pytest.param(file, image, id=f"{file.parent.name}-{image.target}")
    for image in IMAGES
    for file in (ROOT, FOLDER / image.standalone_folder / "Dockerfile")
]
each = pytest.mark.parametrize(("file", "image"), CASES)


def dependencies(parsed: Dockerfile, image: Image) -> list[tuple[str, Instruction]]:
    """The steps that install this image's dependencies, in whichever way, with their stage's name."""
    stages = [stage for name, stage in parsed.stages.items() if name.startswith(f"{image.target}-dependencies")]
    return [(stage.name, run) for stage in stages for run in stage.of("RUN") if "install-dependencies" in run.rest]


def locked() -> list[dict[str, Any]]:
    """The packages of the reference application's lock."""
    packages: list[dict[str, Any]] = tomllib.loads((FOLDER / "reference_app" / "uv.lock").read_text())["package"]
    return packages


def test_the_root_dockerfile_has_one_target_for_each_image() -> None:
    final = {name for name, stage in dockerfiles.read(ROOT).stages.items() if stage.parent == "runnable"}
    assert final == {image.target for image in IMAGES}


@each
def test_an_image_has_exactly_the_extras_of_the_catalogue(file: Path, image: Image) -> None:
    parsed = dockerfiles.read(file)
    steps = dependencies(parsed, image)
    assert steps, f"{file} installs nothing for {image.target}"
    for stage, step in steps:
        extras = parsed.expanded(stage, step).split()[4:]
        assert extras == list(image.extras), f"{file}: {image.target} would miss or carry packages"


@each
def test_a_stack_can_add_extras_to_the_executor_alone(file: Path, image: Image) -> None:
    for _, step in dependencies(dockerfiles.read(file), image):
        assert ("${MORE_EXTRAS}" in step.rest) is (image is EXECUTOR)


@each
def test_an_image_says_which_queues_it_drains(file: Path, image: Image) -> None:
    labels = dockerfiles.read(file).labels(image.target)
    drained = [queue.name for queue in QUEUES.queues if (queue.name in HEAVY_QUEUES) is (image is EXECUTOR)]
    assert labels["io.alphaswarm.queues"].split(",") == drained
    assert labels["io.alphaswarm.concurrency"] == str(image.concurrency)
    assert labels["org.opencontainers.image.title"] == image.name


@each
def test_an_image_says_where_it_comes_from(file: Path, image: Image) -> None:
    labels = dockerfiles.read(file).values(image.target, "LABEL")
    wanted = {
        f"org.opencontainers.image.{name}" for name in ("source", "revision", "version", "base.name", "base.digest")
    }
    assert wanted <= labels.keys(), f"missing: {wanted - labels.keys()}"


@each
def test_an_image_tells_the_runtime_which_one_it_is(file: Path, image: Image) -> None:
    assert dockerfiles.read(file).values(image.target, "ENV")["ALPHASWARM_IMAGE"] == image.target


@each
def test_the_directories_of_an_image_belong_to_its_user(file: Path, image: Image) -> None:
    parsed, stage = dockerfiles.read(file), f"{image.target}-code"
    (made,) = parsed.stages[stage].of("RUN")
    assert parsed.expanded(stage, made).split() == ["own-directories", *image.directories]
    owner = (FOLDER / "build" / "own-directories").read_text()
    assert f"-o {image.uid} -g {image.uid}" in owner


@each
def test_an_image_never_runs_as_root(file: Path, image: Image) -> None:
    parsed = dockerfiles.read(file)
    assert parsed.setting(image.target, "USER").rest == f"{image.uid}:{image.uid}"
    assert [stage.name for stage in parsed.line(image.target) if stage.of("USER")] == ["runnable"]


@each
def test_signals_reach_the_parent_process_alone(file: Path, image: Image) -> None:
    entry = dockerfiles.read(file).setting(image.target, "ENTRYPOINT")
    assert entry.words == ("tini", "--", "python", "-m", "alphaswarm_runtime"), "exec form, and never `tini -g`"


@each
def test_docker_asks_no_health_of_an_image_whose_pod_has_probes(file: Path, image: Image) -> None:
    assert dockerfiles.read(file).setting(image.target, "HEALTHCHECK").rest == "NONE"


@each
def test_a_final_stage_only_copies(file: Path, image: Image) -> None:
    parsed = dockerfiles.read(file)
    for stage in parsed.line(image.target):
        if stage.name != "base":
            assert not stage.of("RUN"), f"{stage.name} would need emulation for the other architecture"
            assert not stage.of("ADD")
    for copy in parsed.stages[image.target].of("COPY"):
        assert "--link" in copy.flags
        source, target = copy.words
        assert source == target
        assert target.count("/") == 1, "a folder made on the way would carry the time of the build"


@each
@pytest.mark.parametrize("way", ["wheels", "pure", "compiled"])
def test_compilers_are_had_only_where_they_are_asked_for_and_only_while_building(
    file: Path, image: Image, way: str
) -> None:
    read = dockerfiles.read(file)
    parsed = Dockerfile(read.arguments | {f"{image.target.upper()}_DEPENDENCIES": way}, read.stages)
    assert ("compilers" in parsed.needed(image.target)) is (way == "compiled")
    assert "compilers" not in {stage.name for stage in parsed.line(image.target)}, "they would reach the final image"
    (run,) = parsed.stages["compilers"].of("RUN")
    packages = set(parsed.expanded("compilers", run).split())
    assert {"build-base", *WORKER.build_packages, *EXECUTOR.build_packages} <= packages


@each
@pytest.mark.parametrize("way", ["wheels", "pure", "compiled"])
def test_dependencies_are_installed_in_the_way_that_is_asked_for(file: Path, image: Image, way: str) -> None:
    read = dockerfiles.read(file)
    parsed = Dockerfile(read.arguments | {f"{image.target.upper()}_DEPENDENCIES": way}, read.stages)
    ((stage, step),) = dependencies(parsed, image)
    assert parsed.expanded(stage, step).split()[:4] == ["install-dependencies", "/src", image.name, way]
    emulated = "--platform=$BUILDPLATFORM" not in [flag for one in parsed.line(stage) for flag in one.flags]
    assert emulated is (way == "compiled"), "the other architecture's wheels need no emulation"


@each
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_every_stage_has_the_python_that_is_asked_for(file: Path, image: Image, version: str) -> None:
    read = dockerfiles.read(file)
    parsed = Dockerfile(read.arguments | {"PYTHON": version}, read.stages)
    for name in PACKAGE_STAGES:
        (run,) = parsed.stages[name].of("RUN")
        assert [word for word in parsed.expanded(name, run).split() if word.startswith("python-")] in (
            [f"python-{version}"],
            [f"python-{version}-dev"],
        )
    for name in ("builder", "installer-compiled"):
        (env,) = parsed.stages[name].of("ENV")
        assert parsed.expanded(name, env) == f"PYTHON={version}"
    assert not re.search(r"3\.1\d", "\n".join(script.read_text() for script in SCRIPTS)), f"{image.target} has another"


@each
def test_the_application_is_imported_in_every_build(file: Path, image: Image) -> None:
    parsed = dockerfiles.read(file)
    assert f"{image.target}-import" in parsed.needed(image.target)
    (run,) = parsed.stages[f"{image.target}-import"].of("RUN")
    assert "--network=none" in run.flags, "an import that waits for a server would hang"
    assert run.words == ("import-application", image.target)
    assert f"{image.target}-import" not in {stage.name for stage in parsed.line(image.target)}


@each
@pytest.mark.parametrize(
    ("more", "cuda"), [("", "false"), ("ml-torch-cuda", "true"), ("a ml-torch-cuda b", "true"), ("cuda", "false")]
)
def test_an_image_says_whether_its_torch_is_for_gpus(file: Path, image: Image, more: str, cuda: str) -> None:
    parsed = dockerfiles.read(file)
    labels = parsed.values(image.target, "LABEL")
    if image is not EXECUTOR:
        assert "io.alphaswarm.cuda" not in labels
        return
    arguments = parsed.stages[image.target].pairs("ARG")
    values = {"EXECUTOR_EXTRAS": parsed.arguments["EXECUTOR_EXTRAS"], "MORE_EXTRAS": more}
    for name in ("EXTRAS", "EXTRAS_WITHOUT_CUDA", "WITHOUT_CUDA"):
        values[name] = expanded(arguments[name], values)
    assert expanded(labels["io.alphaswarm.cuda"], values) == cuda


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_packages_are_installed_only_where_a_builder_can_replace_the_stage(file: Path) -> None:
    stages = dockerfiles.read(file).stages
    assert {
        name for name, stage in stages.items() if any("apk" in run.words for run in stage.of("RUN"))
    } <= PACKAGE_STAGES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_base_is_pinned_by_digest_and_the_same_everywhere(file: Path) -> None:
    base = dockerfiles.read(file).arguments["BASE"]
    assert re.fullmatch(r"cgr\.dev/chainguard/wolfi-base:latest@sha256:[0-9a-f]{64}", base)
    assert base == dockerfiles.read(ROOT).arguments["BASE"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_no_frontend_is_downloaded_to_read_the_file(file: Path) -> None:
    assert not re.search(r"^#\s*syntax", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.target)
def test_a_standalone_file_builds_what_the_root_file_builds(image: Image) -> None:
    root, alone = dockerfiles.read(ROOT), dockerfiles.read(FOLDER / image.standalone_folder / "Dockerfile")
    for name, stage in alone.stages.items():
        if name != "application":  # its source lies elsewhere
            assert stage == root.stages[name], f"{name} differs: the two images would not be the same"
    needed = root.needed(image.target)
    assert needed <= alone.stages.keys()


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.target)
def test_a_standalone_folder_has_beside_it_all_that_it_copies(image: Image) -> None:
    folder = FOLDER / image.standalone_folder
    allowed = [line[1:] for line in (folder / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert allowed
    missing = [name for name in allowed if not (folder / name).exists()]
    assert not missing, f"a link leads nowhere: {missing}"


def test_the_reference_application_has_every_extra_of_the_catalogue() -> None:
    project = tomllib.loads((FOLDER / "reference_app" / "pyproject.toml").read_text())["project"]
    wanted = {extra for image in IMAGES for extra in image.extras}
    assert wanted <= project["optional-dependencies"].keys()


def test_every_locked_package_comes_as_a_wheel_for_both_architectures() -> None:
    heavy = re.compile(r"nvidia-|triton$|alphaswarm$")  # CUDA comes for x86_64 alone
    names: dict[str, list[str]] = {}
    for package in locked():
        if not heavy.match(package["name"]):
            wheels = [wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", ())]
            names.setdefault(package["name"], []).extend(wheels)
    for package_name, wheels in names.items():
        for machine in ("x86_64", "aarch64"):
            assert any(machine in name or name.endswith("-any.whl") for name in wheels), (
                f"{package_name} has no wheel for {machine}: its images need EXECUTOR_DEPENDENCIES=pure or compiled"
            )


@pytest.mark.parametrize(
    ("extra", "machine", "version"),
    [
        ("ml-torch", "x86_64", "2.8.0+cpu"),
        ("ml-torch", "aarch64", "2.8.0"),
        ("ml-torch-cuda", "x86_64", "2.8.0"),
        ("ml-torch-cuda", "aarch64", "2.8.0"),
    ],
)
def test_each_torch_extra_installs_one_torch_on_each_machine(extra: str, machine: str, version: str) -> None:
    (application,) = (package for package in locked() if package["name"] == "alphaswarm")
    environment = {"platform_machine": machine, "extra": f"extra-10-alphaswarm-{extra}"}
    chosen = [
        one
        for one in application["optional-dependencies"][extra]
        if one["name"] == "torch" and ("marker" not in one or Marker(one["marker"]).evaluate(environment))
    ]
    assert [one["version"] for one in chosen] == [version], f"{extra} on {machine}"
    (torch,) = (package for package in locked() if package["name"] == "torch" and package["version"] == version)
    assert any(f"-cp313-cp313-manylinux_2_28_{machine}.whl" in wheel["url"] for wheel in torch["wheels"])
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", wheel["hash"]) for wheel in torch["wheels"])


def test_torch_for_cpus_brings_no_library_of_nvidia() -> None:
    (torch,) = (package for package in locked() if package["name"] == "torch" and package["version"].endswith("+cpu"))
    heavy = {one["name"] for one in torch["dependencies"] if re.match("nvidia|triton", one["name"])}
    assert not heavy, "the executor would grow by 2.8 GB"


def test_the_lock_names_no_index_but_public_ones_and_pytorchs_for_torch_alone() -> None:
    text = (FOLDER / "reference_app" / "uv.lock").read_text()
    hosts = set(re.findall(r"https?://([^/\"]+)", text))
    assert hosts == {"pypi.org", "files.pythonhosted.org", "download.pytorch.org"}
    elsewhere = {package["name"] for package in locked() if "pytorch" in package["source"].get("registry", "")}
    assert elsewhere == {"torch"}


@pytest.mark.parametrize(
    ("given", "architecture", "label"),
    [("", "amd64", ""), ("amd64/torch", "amd64", "torch"), ("amd64/torch", "arm64", ""), ("arm64/x", "amd64", "")],
)
@each
def test_an_image_says_what_it_was_built_without(
    file: Path, image: Image, given: str, architecture: str, label: str
) -> None:
    parsed = dockerfiles.read(file)
    labels = parsed.values(image.target, "LABEL")
    takers = {name for name, stage in parsed.stages.items() if "LEAVE_OUT" in stage.pairs("ARG")}
    if image is not EXECUTOR:
        assert not takers & parsed.needed(image.target)
        assert "io.alphaswarm.left-out" not in labels
        return
    assert takers == {image.target, f"{image.target}-dependencies"}
    arguments = parsed.stages[image.target].pairs("ARG")
    left_out = expanded(arguments["LEFT_OUT"], {"LEAVE_OUT": given, "TARGETARCH": architecture})
    assert expanded(labels["io.alphaswarm.left-out"], {"LEFT_OUT": left_out}) == label


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--config", FOLDER.parent / ".hadolint.yaml", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
