from collections.abc import Iterator

import boto3
import pytest

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local.ports import Ports
from local.services.aws import ACCOUNT, Aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    paths = Paths(tmp_path_factory.mktemp("checkout"))
    made = Aws(paths, Ports(paths.run / "ports.json"))
    made.start(Progress())
    yield made
    made.stop()


KEYS = boto3.session.Session("local", "local", region_name="eu-west-1")


def test_the_account_is_the_one_that_stacks_are_told(aws: Aws) -> None:
    assert KEYS.client("sts", endpoint_url=aws.endpoint).get_caller_identity()["Account"] == ACCOUNT


def test_a_repository_outlives_a_second_start_and_not_a_reset(aws: Aws) -> None:
    ecr = KEYS.client("ecr", endpoint_url=aws.endpoint)
    ecr.create_repository(repositoryName="alphaswarm-worker")
    Aws(aws.paths, aws.ports).start(Progress())
    assert len(ecr.describe_repositories()["repositories"]) == 1
    aws.reset()
    assert ecr.describe_repositories()["repositories"] == []


def test_resetting_an_account_that_is_down_says_how_to_start_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    paths = Paths(tmp_path_factory.mktemp("checkout"))
    with pytest.raises(CommandError, match="make up"):
        Aws(paths, Ports(paths.run / "ports.json")).reset()
