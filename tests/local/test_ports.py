import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.ports import Ports, is_free


def test_a_port_is_remembered_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "run" / "ports.json"
    assert Ports(file).get("redis") == Ports(file).get("redis"), "a second `up` looks for the server elsewhere"


def test_no_two_names_share_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = iter([20_001, 20_001, 20_002])
    monkeypatch.setattr("local.ports.free_port", lambda: next(offered))
    ports = Ports(tmp_path / "ports.json")
    assert [ports.get("redis"), ports.get("registry")] == [20_001, 20_002]


def test_choosing_again_replaces_the_port_that_was_taken(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    taken = ports.get("redis")
    with socket.create_server(("127.0.0.1", taken)):
        assert not is_free(taken)
        assert ports.choose("redis") != taken
    assert ports.get("redis") != taken, "the new port was forgotten"


def test_a_port_that_a_server_left_moments_ago_is_free(tmp_path: Path) -> None:
    port = Ports(tmp_path / "ports.json").get("redis")
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)),
    ):
        server.accept()[0].close()  # the side that closes first is left waiting in the kernel
    assert is_free(port), "a restart would change every port"


def test_ports_that_are_chosen_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file, names = tmp_path / "ports.json", [f"server-{number}" for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        chosen = list(pool.map(lambda name: Ports(file).get(name), names))
    assert [Ports(file).get(name) for name in names] == chosen, "a server listens where nobody looks for it"
