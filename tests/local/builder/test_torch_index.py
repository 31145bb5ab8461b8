import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.progress import Progress
from local.builder.service import Builder
from local.builder.torch_index import ELSEWHERE, TorchIndex, wheel_elsewhere

REFERENCE_LOCK = Path(__file__).parents[3] / "images" / "reference_app" / "uv.lock"
NAME = "torch-2.8.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64.whl"


class Index(ThreadingHTTPServer):
    """An index on this machine's loopback; `asked` are the requests that reached it."""

    status = 200
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    server: Index

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: pytest's output is for failures."""


@pytest.fixture
def index() -> Iterator[Index]:
    server = Index(("127.0.0.1", 0), Answer)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def probe(tmp_path: Path, address: str, name: str = NAME) -> TorchIndex:
    """A probe whose lock has amd64's torch at the address, beside the ones that are never asked for."""
    lock = tmp_path / "uv.lock"
    lock.write_text(
        "".join(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\nwheels = [{{ url = "{url}" }}]\n'
            for name, version, url in (
                ("torch", "2.8.0", "https://packages.invalid/torch-2.8.0-cp313-cp313-manylinux_2_28_x86_64.whl"),
                ("torch", "2.8.0+cpu", f"{address}/whl/cpu/{name}"),
                ("six", "1.17.0", "https://packages.invalid/six-1.17.0-py3-none-any.whl"),
            )
        )
    )
    return TorchIndex(lock, tmp_path / "state" / "torch_index.json")


def at(index: Index) -> str:
    return f"http://127.0.0.1:{index.server_port}"


def test_nothing_is_left_out_where_the_index_has_the_wheel(
    tmp_path: Path, index: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    assert probe(tmp_path, at(index)).left_out(Progress()) == ""
    assert index.asked == [f"/whl/cpu/{NAME}"], "an index may answer where its files do not"
    assert "!!" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_index_that_refuses_the_wheel_is_out_of_reach(tmp_path: Path, index: Index, status: int) -> None:
    index.status = status
    assert probe(tmp_path, at(index)).left_out(Progress()) == ELSEWHERE


def test_without_an_index_amd64_goes_without_torch_and_says_so_each_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asking = probe(tmp_path, address)
        for _ in range(2):
            assert asking.left_out(Progress()) == ELSEWHERE
            said = "".join(capfd.readouterr())
            assert "!!" in said
            assert "WITHOUT TORCH" in said
            assert f"{address}/whl/cpu" in said


def test_the_index_is_asked_once_and_for_each_new_wheel(tmp_path: Path, index: Index) -> None:
    asking = probe(tmp_path, at(index))
    for _ in range(3):
        asking.left_out(Progress())
    assert len(index.asked) == 1, "each `up` would wait for a network that is not there"
    probe(tmp_path, at(index), NAME.replace("cp313", "cp314")).left_out(Progress())
    assert len(index.asked) == 2


def test_the_reference_application_has_such_a_wheel() -> None:
    assert wheel_elsewhere(REFERENCE_LOCK) == f"https://download.pytorch.org/whl/cpu/{NAME}"


@pytest.mark.parametrize(
    "text",
    [
        '[[package]]\nname = "torch"\nversion = "2.8.0"\n',
        '[[package]]\nname = "celery"\nversion = "5.7.0"\n',
        "version = 1\n",
        "no lock",
        None,
    ],
)
def test_an_application_without_such_a_wheel_is_not_asked_about(tmp_path: Path, text: str | None) -> None:
    lock = tmp_path / "uv.lock"
    if text is not None:
        lock.write_text(text)
    asking = TorchIndex(lock, tmp_path / "torch_index.json")
    assert asking.left_out(Progress()) == ""
    assert not asking.cache_file.exists()


def test_an_application_that_only_the_build_sees_is_not_asked_about(tmp_path: Path) -> None:
    assert TorchIndex(None, tmp_path / "torch_index.json").left_out(Progress()) == ""


def test_builds_are_told_what_to_leave_out_and_only_then() -> None:
    for contexts in ({}, {"base": "oci-layout:///x@sha256:1"}):
        assert Builder("b", "unix:///b", contexts, (), {}, ELSEWHERE).build_args["LEAVE_OUT"] == "amd64/torch"
        assert "LEAVE_OUT" not in Builder("b", "unix:///b", contexts, (), {}).build_args
