import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import CommandError
from local.ports import Ports
from local.processes import Daemon
from local.services.server import Server

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"


def server(folder: Path, *, note: str = "", reads: tuple[Path, ...] = ()) -> Server:
    ports = Ports(folder / "ports.json")

    def command() -> Sequence[str]:
        return [sys.executable, "-c", LISTEN, str(ports.get("listener")), note]

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports.get("listener"))) == 0

    daemon = Daemon("listener", folder / "run", folder / "logs")
    return Server(daemon, ports, ("listener",), command, ready, reads=reads, within=10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    server(tmp_path).stop()


def test_a_second_start_leaves_the_server_and_its_port_alone(folder: Path) -> None:
    server(folder).start()
    first = server(folder).status()
    server(folder).start()
    assert server(folder).status().pid == first.pid
    assert server(folder).port == first.port


def test_a_port_that_somebody_took_meanwhile_is_replaced(folder: Path) -> None:
    taken = server(folder).port
    with socket.create_server(("127.0.0.1", taken)):
        server(folder).start()
        assert server(folder).status().running
        assert server(folder).port != taken, "clients talk to somebody else's server"


def test_a_port_taken_between_choosing_and_binding_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = server(folder).port
    looked: list[int] = []

    def free_at_first_look(port: int) -> bool:
        looked.append(port)
        return len(looked) == 1 or port != taken

    monkeypatch.setattr("local.services.server.is_free", free_at_first_look)
    listener = server(folder)

    def ready() -> bool:
        return listener.port != taken and listener.ready()  # on the taken port a stranger answers

    with socket.create_server(("127.0.0.1", taken)):
        replace(listener, ready=ready).start()
        assert server(folder).port != taken
        assert server(folder).status().running


def test_a_server_whose_command_changed_is_started_anew(folder: Path) -> None:
    server(folder).start()
    first = server(folder).status().pid
    server(folder, note="a rebuilt binary").start()
    assert server(folder).status().pid != first, "the old binary keeps running after an upgrade"


def test_a_server_whose_input_files_changed_is_started_anew(folder: Path) -> None:
    certificate = folder / "tls.crt"
    certificate.write_text("old")
    server(folder, reads=(certificate,)).start()
    first = server(folder).status().pid
    certificate.write_text("renewed")
    server(folder, reads=(certificate,)).start()
    assert server(folder).status().pid != first, "the server goes on with an expired certificate"


def test_a_server_that_cannot_start_is_not_tried_for_ever(folder: Path) -> None:
    listener = server(folder)
    tries: list[int] = []

    def command() -> Sequence[str]:
        tries.append(1)
        return [sys.executable, "-c", "raise SystemExit('bad flag')"]

    with pytest.raises(CommandError, match="bad flag"):
        Server(listener.daemon, listener.ports, listener.port_names, command, lambda: False).start()
    assert len(tries) == 1, "a failure that new ports cannot mend is retried"


def test_status_says_what_a_running_server_uses(folder: Path) -> None:
    assert server(folder).status().running is False
    server(folder).start()
    status = server(folder).status()
    assert status.running
    assert status.port == server(folder).port
    assert status.memory
