"""Two checkouts of one person do not meet; `down` ends what its own `up` started, and nothing else."""

import json
import socket
from collections.abc import Callable

import pytest

from local.processes import start_time

from .checkout import Checkout
from .fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.cluster]


def test_a_second_checkout_comes_up_beside_the_first_and_goes_down_alone(
    fleet: Fleet, new_checkout: Callable[[str], Checkout]
) -> None:
    first, second = fleet.checkout, new_checkout("second")
    second.configure("local", images=first.config("local")["fleet:images"], layout="per-image")
    servers = first.servers()
    with socket.create_server(("127.0.0.1", 0)) as redis, socket.create_server(("127.0.0.1", 0)) as api:
        taken = {"redis": redis.getsockname()[1], "kube-apiserver": api.getsockname()[1]}
        (second.paths.run).mkdir(mode=0o700, parents=True, exist_ok=True)
        (second.paths.run / "ports.json").write_text(json.dumps(taken))
        second.local("up").ok()
    ports = second.ports()
    assert not set(ports.values()) & set(taken.values()), "a port that another process listens on was taken over"
    assert not set(ports.values()) & set(first.ports().values())
    mine = second.servers()
    assert set(mine) == set(servers)

    result = second.local("down").ok()
    assert "Down" in result.text
    assert not second.paths.state.exists()
    assert [name for name, pid in mine.items() if start_time(pid) is not None] == []
    assert second.plugins() == []
    assert first.servers() == servers, "another checkout's servers were ended"
    assert fleet.preview_steps("--refresh") == set(), "another checkout's resources were touched"
    second.local("down").ok()
