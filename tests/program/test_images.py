"""Images: built for two platforms and pushed by digest, promoted, or given; always deployed by digest."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pulumi import RunError

from tests.program.harness import (
    ROOT,
    STACKS,
    UNKNOWN,
    Program,
    attempt,
    built_images,
    cloud_of,
    configuration,
    container,
    fail,
    program,
    run,
    secrets_of,
)
from tests.program.monitor import Secret, index_digest, leaves

IMAGE, INDEX = "docker-build:index:Image", "docker-build:index:Index"
BY_DIGEST = re.compile(r"[^@]+/alphaswarm-(worker|executor)@sha256:[0-9a-f]{64}")
EVERY_IMAGE = {f"alphaswarm-{image}-{arch}" for image in ("worker", "executor") for arch in ("amd64", "arm64")}
ZEROS = "sha256:" + "0" * 64
REPOSITORY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
APPLICATION, COMMIT = "https://git.example.com/research/tasks.git", "a1" * 20
BUILDING = [(stack, preview) for stack in ("local", "dev") for preview in (True, False)]


def deployed(found: Program) -> set[object]:
    """What all pods of the fleet pull."""
    beat = found.manifest("Deployment", "alphaswarm-beat")
    return {container(one)["image"] for one in (*found.workers().values(), beat)}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_every_pod_pulls_by_digest(stack: str, layout: str) -> None:
    for reference in deployed(program(stack, layout)):
        assert isinstance(reference, str)
        assert BY_DIGEST.fullmatch(reference), f"{reference}: a tag could be moved under running pods"


@pytest.mark.parametrize(("stack", "preview"), BUILDING)
def test_each_image_is_built_once_a_platform_and_joined(stack: str, preview: bool) -> None:
    found = program(stack, preview=preview)
    platforms = {one.name: one.inputs["platforms"] for one in found.every(IMAGE)}
    assert platforms == {name: [f"linux/{name.rpartition('-')[2]}"] for name in EVERY_IMAGE}
    assert {one.name for one in found.every(INDEX)} == {"alphaswarm-worker", "alphaswarm-executor"}


@pytest.mark.parametrize(("stack", "preview"), BUILDING)
def test_a_preview_never_builds_and_nothing_is_pushed_by_tag(stack: str, preview: bool) -> None:
    for one in program(stack, preview=preview).every(IMAGE):
        assert one.inputs["buildOnPreview"] is False, "a preview would dial the builder, and fail without one"
        assert one.inputs["push"] is False
        assert not one.inputs.get("tags")
        assert one.retain_on_delete, "deleting an image takes the layers of a deployed one along"
        assert one.inputs["target"] == one.name.split("-")[1]
        assert one.inputs["dockerfile"] == {"location": "images/Dockerfile"}
        assert one.inputs["context"]["location"] == "images", "an absolute path differs between a laptop and CI"


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_images_go_to_their_repository_by_digest_with_a_cache_a_platform(stack: str) -> None:
    found = program(stack)
    account = {"local": "123456789012", "dev": "111122223333"}[stack]
    for one in found.every(IMAGE):
        repository = f"{account}.dkr.ecr.eu-central-1.amazonaws.com/{one.name.rpartition('-')[0]}"
        (export,) = one.inputs["exports"]
        assert export == {
            "raw": f"type=registry,name={repository},push-by-digest=true,oci-mediatypes=true,"
            "compression=zstd,compression-level=6"
        }
        cache = f"{repository}:cache-{one.name.rpartition('-')[2]}"
        assert one.inputs["cacheFrom"] == [{"registry": {"ref": cache}}]
        (to,) = one.inputs["cacheTo"]
        assert to["registry"]["ref"] == cache
        assert to["registry"]["ignoreError"] is True, "a cache that cannot be written would fail the build"


@pytest.mark.parametrize("stack", ["local", "dev"])
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_no_credential_of_a_registry_enters_the_state(stack: str, preview: bool) -> None:
    found = program(stack, preview=preview)
    for one in (*found.every(IMAGE), *found.every(INDEX)):
        assert not one.inputs.keys() & {"registries", "registry"}, "a token would change with each run"


def test_an_index_joins_both_platforms_under_a_tag_of_the_content_and_stays() -> None:
    found = program("dev")
    for index in found.every(INDEX):
        digests = {
            found.one(IMAGE, f"{index.name}-{arch}").urn: f"{REPOSITORY}/{index.name}@sha256:"
            for arch in ("amd64", "arm64")
        }
        assert digests.keys() <= index.dependencies
        assert len(set(index.inputs["sources"])) == 2
        assert all(source.startswith(f"{REPOSITORY}/{index.name}@sha256:") for source in index.inputs["sources"])
        assert re.fullmatch(rf"{REPOSITORY}/{index.name}:[0-9a-f]{{16}}", index.inputs["tag"])
        assert index.inputs["push"] is True
        assert index.retain_on_delete, "two tags of one content share a digest; deleting one takes the other along"


def test_the_tag_follows_target_and_content() -> None:
    tags = {index.name: index.inputs["tag"].rpartition(":")[2] for index in program("dev").every(INDEX)}
    assert len(set(tags.values())) == 2
    again = run(configuration("dev"), secrets_of("dev"))
    assert {index.name: index.inputs["tag"].rpartition(":")[2] for index in again.every(INDEX)} == tags


def test_images_wait_for_their_repository() -> None:
    found = program("dev")
    for one in found.every(IMAGE):
        repository = found.one("aws:ecr/repository:Repository", one.name.rpartition("-")[0])
        assert repository.urn in one.dependencies


def test_a_first_preview_shows_references_as_unknown() -> None:
    assert deployed(program("dev", preview=True)) == {UNKNOWN}


def test_a_preview_after_a_change_of_source_passes_with_zeros_for_what_is_unbuilt() -> None:
    plain = configuration("dev", registry={"address": "127.0.0.1:5000"})
    found = run(plain, secrets_of("dev"), preview=True, cloud=cloud_of(plain, empty_digests=True))
    for index in found.every(INDEX):
        assert index.inputs["sources"] == [f"127.0.0.1:5000/{index.name}@{ZEROS}"] * 2, "`repo@` fails the preview"
    assert deployed(found) == {f"127.0.0.1:5000/alphaswarm-{image}@{ZEROS}" for image in ("worker", "executor")}


def test_the_applications_source_and_replaced_stages_reach_the_build() -> None:
    images = {
        "source": "build",
        "application": f"{APPLICATION}#{COMMIT}",
        "platforms": ["linux/arm64"],
        "builder": "fleet",
        "contexts": {"base": "docker-image://registry.example.com/base:1"},
    }
    found = run(configuration("dev", images=images), secrets_of("dev"))
    assert {one.name for one in found.every(IMAGE)} == {"alphaswarm-worker-arm64", "alphaswarm-executor-arm64"}
    for one in found.every(IMAGE):
        assert one.inputs["context"]["named"] == {
            "application": {"location": f"{APPLICATION}#{COMMIT}"},
            "base": {"location": "docker-image://registry.example.com/base:1"},
        }
        assert one.inputs["builder"] == {"name": "fleet"}


def test_another_commit_of_the_application_is_another_image() -> None:
    first, again, second = (image_inputs(f"{APPLICATION}#{commit}") for commit in (COMMIT, COMMIT, "b2" * 20))
    assert first == again
    assert {name for name in first if first[name] != second[name]} == EVERY_IMAGE, "it would show no difference"


def test_another_content_of_the_applications_folder_is_another_image(tmp_path: Path) -> None:
    app = shutil.copytree(ROOT / "images/reference_app", tmp_path / "app")
    first, again = image_inputs(str(app)), image_inputs(str(app))
    assert first == again, "an unchanged source would be built anew"
    with (app / "src/alphaswarm/market.py").open("a") as file:
        file.write("# changed\n")
    second = image_inputs(str(app))
    assert {name for name in first if first[name] != second[name]} == EVERY_IMAGE, (
        "the provider sees an application through our own .dockerignore, which leaves all of it out"
    )


def test_a_folder_that_cannot_be_read_is_said_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> str:
        raise PermissionError(13, "Permission denied", str(folder / "secret"))

    monkeypatch.setattr("components.fleet_images.folder_hash", refuse)
    plain = configuration("dev", images={"source": "build", "contexts": {"runtime": str(tmp_path)}})
    failure = fail(plain, secrets_of("dev"))
    assert isinstance(failure.error, RunError)
    assert str(failure.error) == f"{tmp_path}/secret, a source of the images, cannot be read: Permission denied."


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_a_build_secret_stays_a_secret_and_a_new_one_builds_nothing(preview: bool) -> None:
    plain = configuration("dev")
    for one in run(plain, {}, preview=preview).every(IMAGE):
        assert one.inputs["secrets"] == Secret({})
    found = run(plain, {"netrc": "machine a", "gitToken": "t0ken"}, preview=preview)
    for one in found.every(IMAGE):
        assert one.inputs["secrets"] == Secret({"netrc": "machine a", "GIT_AUTH_TOKEN": "t0ken"})
        assert set(one.inputs["ignoreSecretsInDiffCalculation"]) == {"netrc", "GIT_AUTH_TOKEN"}
        plain_text = [leaf for leaf in leaves(one.inputs) if not isinstance(leaf, Secret)]
        assert not {"machine a", "t0ken"} & set(plain_text), "a secret stands in plain state"


def image_inputs(application: str) -> dict[str, Mapping[str, Any]]:
    """What the images of stack `dev` are built from, by name."""
    found = run(configuration("dev", images={"source": "build", "application": application}), secrets_of("dev"))
    return {one.name: one.inputs for one in found.every(IMAGE)}


@pytest.mark.parametrize("stack", ["staging", "prod"])
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_a_promoting_stack_deploys_the_digests_of_the_other(stack: str, preview: bool) -> None:
    found = program(stack, preview=preview)
    assert deployed(found) == {f"{REPOSITORY}/{image}@{index_digest(image)}" for image in built_images()}
    assert found.exports["images"] == built_images(), "the stack after this one could not promote from it"


@pytest.mark.parametrize("there", [{}, {"images": {}}, {"images": {"alphaswarm-worker": "r/w@sha256:" + "1" * 64}}])
def test_a_preview_before_the_first_build_warns_and_shows_zeros(there: dict[str, object]) -> None:
    plain = configuration("prod")
    cloud = cloud_of(plain, other_stacks={"organization/alphaswarm-fleet/staging": there})
    found = run(plain, {}, preview=True, cloud=cloud)
    assert f"alphaswarm-executor@{ZEROS}" in deployed(found)
    assert [text for text in found.warnings() if "staging has built no alphaswarm-executor yet" in text]


def test_an_update_before_the_first_build_says_which_stack_to_bring_up() -> None:
    plain = configuration("prod")
    cloud = cloud_of(plain, other_stacks={"organization/alphaswarm-fleet/staging": {}})
    failure = fail(plain, {}, cloud=cloud)
    assert isinstance(failure.error, RunError)
    assert "fleet:images.stack" in str(failure.error)
    assert "organization/alphaswarm-fleet/staging" in str(failure.error)
    assert "pulumi up" in str(failure.error)
    assert not [one for one in failure.registrations if one.type.endswith(":Deployment")], "half a fleet was deployed"


@pytest.mark.parametrize(("cuda", "warned"), [(False, True), (True, False), (None, False)])
def test_a_promoting_stack_with_gpus_is_warned_of_images_that_cannot_use_them(cuda: bool | None, warned: bool) -> None:
    plain = configuration("prod", gpu={"count": 1})
    there = {"images": built_images(), **({} if cuda is None else {"executorHasCuda": cuda})}
    cloud = cloud_of(plain, other_stacks={"organization/alphaswarm-fleet/staging": there})
    found = run(plain, {}, preview=True, cloud=cloud)
    assert bool([text for text in found.warnings() if "torch for processors only" in text]) is warned
    assert found.exports.get("executorHasCuda") == cuda, "the stack after this one could not know"


@pytest.mark.parametrize(("more", "cuda"), [("", False), ("ml-torch-cuda", True)])
def test_a_building_stack_says_whether_its_executor_has_cuda(more: str, cuda: bool) -> None:
    images = {"source": "build", "buildArgs": {"MORE_EXTRAS": more}}
    assert run(configuration("dev", images=images), secrets_of("dev")).exports["executorHasCuda"] is cuda


def test_given_digests_are_deployed_as_they_are() -> None:
    given = {
        name: f"registry.example.com/alphaswarm-{name}@sha256:{digit * 64}"
        for name, digit in (("worker", "1"), ("executor", "2"))
    }
    result = attempt(configuration("prod", images={"source": "digests", **given}), {})
    assert isinstance(result, Program)
    assert deployed(result) == set(given.values())
    assert result.exports["repositoryUrls"] == {
        f"alphaswarm-{name}": f"registry.example.com/alphaswarm-{name}" for name in given
    }
