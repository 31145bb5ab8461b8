"""An image is a function of its source: built anew from nothing, with a build secret this time, it is the same bytes.

The second build has a BuildKit of its own, which has never seen a layer, a wheel or a cache mount. It gets the secret
that the first one did not have; equal digests say that the secret changed nothing that is pushed.
"""

import secrets
from pathlib import Path

import pytest

from common.progress import Progress
from queues import WORKER
from tests.images.build_environment import temporary_environment
from tests.images.built import ImageBuild, build
from tests.images.cases import FOLDER, BuiltCase
from tests.images.conftest import Uncaptured
from tests.images.difference import difference

pytestmark = pytest.mark.images


@pytest.mark.parametrize("native_case", [WORKER], ids=lambda image: image.target, indirect=True)
def test_two_cold_builds_of_the_same_source_give_the_same_digest(
    native_case: BuiltCase, uncaptured: Uncaptured, tmp_path: Path
) -> None:
    value = secrets.token_hex(16)
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine packages.invalid login reader password {value}\n")
    with uncaptured(), temporary_environment(Progress()) as environment:
        image_build = ImageBuild(FOLDER, native_case.image.target, (native_case.platform,), netrc=netrc)
        with Progress().step(f"{native_case.image.name} once more, from nothing", usual="1 min"):
            again = build(environment, image_build, environment.scratch / "again")[native_case.platform]
        assert difference(again, native_case.built) == []
        assert again.digest == native_case.built.digest, "each machine would push layers that others have already"
        assert not again.blobs_with(value.encode())
