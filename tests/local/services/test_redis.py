from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client

from common.paths import Paths
from common.progress import Progress
from local.ports import Ports
from local.services.redis import Redis
from toolchain import ensure

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    progress = Progress()
    paths = Paths(tmp_path_factory.mktemp("checkout"))
    made = Redis(ensure(["redis-server"], progress)["redis-server"], paths, Ports(paths.run / "ports.json"))
    made.start(progress)
    yield made
    made.stop()


def test_redis_refuses_whoever_has_no_password(broker: Redis) -> None:
    with pytest.raises(client.AuthenticationError):
        client.Redis(broker.host, broker.port).ping()
    with pytest.raises(client.AuthenticationError):
        client.Redis(broker.host, broker.port, password="guess").ping()


def test_redis_serves_whoever_has_the_url(broker: Redis) -> None:
    link = client.Redis.from_url(broker.url(3))
    link.rpush("default", "task")
    assert link.llen("default") == 1


def test_the_password_is_not_among_the_arguments_that_every_user_can_read(broker: Redis) -> None:
    pid = broker.status().pid
    assert broker.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_nobody_else_reads_the_password_or_the_data(broker: Redis) -> None:
    folder = broker.paths.state / "state" / "redis"
    assert (folder / "password").stat().st_mode & 0o077 == 0
    assert (folder / "redis.conf").stat().st_mode & 0o077 == 0
    assert (folder / "data").stat().st_mode & 0o077 == 0


def test_a_second_start_finds_the_queues_of_the_first(broker: Redis) -> None:
    client.Redis.from_url(broker.url()).set("kept", "yes")
    Redis(broker.program, broker.paths, broker.ports).start(Progress())
    assert client.Redis.from_url(broker.url()).get("kept") == b"yes"


def test_two_checkouts_have_two_brokers(broker: Redis, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    other = Redis(broker.program, paths, Ports(paths.run / "ports.json"))
    other.start(Progress())
    try:
        client.Redis.from_url(other.url()).set("whose", "other's")
        assert client.Redis.from_url(broker.url()).get("whose") is None
        assert other.password != broker.password
    finally:
        other.stop()
    assert broker.status().running, "stopping one checkout's broker ended another's"
