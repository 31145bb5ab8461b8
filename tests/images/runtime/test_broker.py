"""A broker that cannot keep the fleet's messages is refused in one line; a password that changed is read anew."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.settings import credentials
from alphaswarm_runtime.settings.credentials import CredentialResolver
from alphaswarm_runtime.transport import broker, broker_check
from celery import Celery

from tests.images.runtime.harness import Fleet, Redis, free_port, until

GOOD = {"redis_version": "7.0.15", "redis_mode": "standalone", "maxmemory": 0, "aof_enabled": 1, "role": "master"}


class Server:
    """Answers INFO with what a server of that kind says."""

    def __init__(self, **more: object) -> None:
        self.told = {**GOOD, **more}

    def info(self, _section: str) -> dict[str, object]:
        return self.told


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"redis_version": "6.0.20"}, "Redis 6.0.20"),
        ({"redis_version": "5.0.6"}, "Redis 5.0.6"),
        ({"cluster_enabled": 1}, "cluster mode"),
        ({"redis_mode": "cluster"}, "cluster mode"),
        ({"maxmemory": 1_000_000, "maxmemory_policy": "allkeys-lru"}, "allkeys-lru"),
        ({"maxmemory": 1_000_000, "maxmemory_policy": "volatile-lru"}, "volatile-lru"),
    ],
)
def test_a_server_that_may_drop_or_cannot_keep_messages_is_refused(told: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        broker_check.check(Server(**told), "redis://host")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"redis_version": "6.2.0"},
        {"redis_version": "8.2.1"},
        {"maxmemory": 1_000_000, "maxmemory_policy": "noeviction"},
        {"maxmemory_policy": "allkeys-lru"},
    ],
)
def test_a_server_that_keeps_everything_is_fine(told: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    broker_check.check(Server(**told), "redis://host")
    assert not caplog.records


def test_a_server_that_forgets_at_its_end_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    broker_check.check(Server(aof_enabled=0, connected_slaves=0), "redis://host")
    assert "neither an append-only file nor a replica" in caplog.text
    caplog.clear()
    broker_check.check(Server(aof_enabled=0, connected_slaves=1), "redis://host")
    assert not caplog.records


@pytest.mark.redis
def test_a_real_server_that_evicts_is_refused_at_start(fleet: Fleet) -> None:
    with fleet.server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
    done = fleet.run("worker", "--queues", "default")
    assert done.returncode == 78
    assert "allkeys-lru" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.redis
def test_a_real_cluster_is_refused_at_start(fleet: Fleet) -> None:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    folder = fleet.folder / "cluster"
    folder.mkdir()
    server = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "it listens")
        done = fleet.run("worker", "--queues", "default", CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/0")
    finally:
        server.terminate()
        server.wait()
    assert done.returncode == 78
    assert "cluster mode" in done.stderr.strip().splitlines()[-1]


@pytest.mark.redis
def test_a_server_that_begins_to_evict_ends_the_worker_once_its_tasks_have(fleet: Fleet) -> None:
    worker = fleet.worker()
    with fleet.server.client() as client:
        client.config_set("maxmemory-policy", "volatile-ttl")
        client.config_set("maxmemory", "100mb")
    fleet.server.drop_connections()
    assert worker.wait() == 78
    assert "volatile-ttl" in worker.output


REFUSALS = {
    "a replica after a failover": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "without its replicas": (
        ["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
    "without the right to scripts": (["ACL", "SETUSER", "default", "-eval"], ["ACL", "SETUSER", "default", "+eval"]),
    "without the right to commands in scripts": (
        ["ACL", "SETUSER", "default", "-hset", "-hdel"], ["ACL", "SETUSER", "default", "+hset", "+hdel"],
    ),
    "without the right to other keys": (
        ["ACL", "SETUSER", "default", "resetkeys", "~default*"], ["ACL", "SETUSER", "default", "allkeys"],
    ),
}  # fmt: skip


@pytest.mark.redis
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_broker_that_refuses_for_a_while_ends_neither_workers_nor_beat(
    fleet: Fleet, client: Redis, refusal: str
) -> None:
    begin, end = REFUSALS[refusal]
    worker = fleet.worker()
    beat = fleet.start("beat", CELERY_APP="slow").wait_ready()
    sent = fleet.send("sleep", "long", 6)  # it writes to the same server, before the refusal and after it
    until(fleet.server.journal, "it runs")
    client.execute_command(*begin)
    time.sleep(3)
    client.execute_command(*end)
    after = fleet.send("note", "after")
    assert (sent.get(), after.get()) == ("long", "after")
    assert (worker.popen.poll(), beat.popen.poll()) == (None, None)
    until(lambda: client.hlen("unacked:{default}") == 0, "everything is acknowledged")
    until(lambda: worker.probe_succeeds("ready") and beat.probe_succeeds("ready"), "both are ready again")


@pytest.mark.redis
def test_a_task_that_ended_while_its_acknowledgement_was_refused_does_not_run_again(
    fleet: Fleet, client: Redis
) -> None:
    fleet.worker()
    sent = fleet.send("sleep", "once", 2)
    until(fleet.server.journal, "it runs")
    client.execute_command("ACL", "SETUSER", "default", "-eval")
    assert sent.get() == "once"
    time.sleep(2)
    client.execute_command("ACL", "SETUSER", "default", "+eval")
    until(lambda: client.hlen("unacked:{default}") == 0, "it is acknowledged", within=10)
    assert [line.split()[0] for line in fleet.server.journal()] == ["start", "end"]


@pytest.mark.redis
def test_a_password_that_changed_ends_the_worker_so_that_a_new_one_reads_it(fleet: Fleet) -> None:
    with fleet.server.client() as client:
        client.execute_command("ACL", "SETUSER", "fleet", "on", ">of-yesterday", "~*", "&*", "+@all")
        url = fleet.server.url.replace("redis://", "redis://fleet:{}@")
        worker = fleet.worker(CELERY_BROKER_URL=url.format("of-yesterday"), ALPHASWARM_BROKER_WAIT="3")
        client.execute_command("ACL", "SETUSER", "fleet", "resetpass", ">of-today")
        fleet.server.drop_connections()
        assert worker.wait(within=40) == 78
        assert "refuses the login" in worker.output
        assert "of-yesterday" not in worker.output
    fleet.worker(CELERY_BROKER_URL=url.format("of-today"))
    assert fleet.send("note", "served").get() == "served"


@pytest.mark.parametrize("password", ["p/w", "p#w", "p?w", "12/34", "p%w", "p%w@x/y", "a@b/c"])
def test_a_password_that_makes_no_url_is_refused_without_any_part_of_it(password: str) -> None:
    environ = {"CELERY_BROKER_URL": f"redis://user:{password}@host:6379/0"}
    with pytest.raises(ConfigurationError, match="CELERY_BROKER_URL is no URL") as refused:
        broker.export_urls(environ, credentials.from_environment({}))
    assert password not in str(refused.value)
    assert "user" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0",
        "rediss://:p%2Fw%25@host/0?ssl_cert_reqs=CERT_REQUIRED",
        "sentinel://a:1/0;sentinel://b:2/0",
        "redis://user:p%40w@[::1]:6379/1",
        "redis+socket:///run/redis.sock",
        "mongodb://a:27017,b:27017/results",
    ],
)
def test_other_urls_are_left_as_they_are(url: str) -> None:
    environ = {"CELERY_BROKER_URL": url}
    broker.export_urls(environ, credentials.from_environment({}))
    assert environ["CELERY_BROKER_URL"] == url


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_line_break_behind_a_secret_is_named(tmp_path: Path, end: str) -> None:
    (tmp_path / "redis-broker.json").write_text(json.dumps(f"hunter2{end}"))
    with pytest.raises(ConfigurationError, match="redis/broker ends with a line break") as refused:
        CredentialResolver({}, tmp_path).resolve("redis", "broker")
    assert "hunter2" not in str(refused.value)


# --- a connection that ends while it is made ---


@pytest.fixture
def refusing_server() -> Iterator[Callable[[bytes], int]]:
    """Make a server that answers whoever connects with these bytes, and hangs up; return its port."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    def serve(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer)

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("answer", [b"", b"+OK\r\n", b"-LOADING Redis is loading the dataset in memory\r\n"])
def test_a_connection_that_ends_while_it_is_made_is_an_error_that_celery_connects_again_after(
    refusing_server: Callable[[bytes], int], answer: bytes
) -> None:
    app = Celery(broker=f"redis://127.0.0.1:{refusing_server(answer)}/0", set_as_current=False)
    recovers = app.connection_for_read().connection_errors
    connection = broker.RedisConnection(app)
    with pytest.raises(recovers), connection.client() as client:
        client.ping()
