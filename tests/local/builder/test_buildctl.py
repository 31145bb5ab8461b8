"""A `buildctl` command says all that was asked for, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from local.builder.buildctl import Build

DIGEST = f"sha256:{'a' * 64}"
FOLDER = Path("/source")
PLAIN = {"--progress=plain", "--frontend=dockerfile.v0", "--local=context=/source", "--local=dockerfile=/source"}


def beyond_the_plain_build(build: Build, *more: str) -> set[str]:
    """What the command has for this build that one of the whole Dockerfile would not."""
    words = build.command(Path("/bin/buildctl"), "unix:///socket", *more)
    assert words[:4] == ["/bin/buildctl", "--addr", "unix:///socket", "build"]
    assert len(words) == len(set(words)), "said twice"
    assert set(words) >= PLAIN
    return set(words[4:]) - PLAIN


def test_a_build_of_which_nothing_more_is_said_leaves_all_to_the_dockerfile_and_the_builder() -> None:
    assert beyond_the_plain_build(Build(FOLDER)) == set()


def test_a_target_is_built_for_every_platform_that_was_asked_for() -> None:
    build = Build(FOLDER, "worker", ("linux/amd64", "linux/arm64"))
    assert beyond_the_plain_build(build) == {"--opt=target=worker", "--opt=platform=linux/amd64,linux/arm64"}


def test_an_index_is_made_of_one_image_only_where_it_is_asked_for() -> None:
    assert beyond_the_plain_build(Build(FOLDER, indexed=True)) == {"--opt=multi-platform=true"}


def test_an_empty_build_argument_is_passed_too() -> None:
    build = Build(FOLDER, build_args={"VERSION": "1.2.3", "MORE_EXTRAS": ""})
    assert beyond_the_plain_build(build) == {"--opt=build-arg:VERSION=1.2.3", "--opt=build-arg:MORE_EXTRAS="}, (
        "the Dockerfile's default would hold against what was asked for"
    )


@pytest.mark.parametrize(
    ("contexts", "words"),
    [
        (
            {"base": f"oci-layout:///cache/base@{DIGEST}"},
            {f"--opt=context:base=oci-layout://base@{DIGEST}", "--oci-layout=base=/cache/base"},
        ),
        (
            {"base": f"oci-layout:///home/a@b/base@{DIGEST}"},
            {f"--opt=context:base=oci-layout://base@{DIGEST}", "--oci-layout=base=/home/a@b/base"},
        ),
        ({"application": "/theirs"}, {"--opt=context:application=local:application", "--local=application=/theirs"}),
    ],
    ids=["a layout", "a layout in a folder with an @", "a folder"],
)
def test_a_named_context_is_told_to_the_dockerfile_and_to_the_client(
    contexts: Mapping[str, str], words: set[str]
) -> None:
    assert beyond_the_plain_build(Build(FOLDER, contexts=contexts)) == words


def test_what_becomes_of_the_result_is_said_as_given_and_last() -> None:
    more = ("--secret=id=netrc,src=/n", "--export-cache=type=registry,ref=r", "--output=type=tar,dest=/t")
    words = Build(FOLDER, "worker", ("linux/amd64",)).command(Path("buildctl"), "unix:///socket", *more)
    assert tuple(words[-3:]) == more
