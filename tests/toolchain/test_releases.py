"""A release is taken only whole and with the checksum it should have; a host that refuses is asked once a day."""

import hashlib
import io
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from urllib.error import HTTPError

import pytest

import toolchain
from common.errors import CommandError
from common.progress import Progress
from tests.toolchain.conftest import Machine
from tests.toolchain.releases_server import ReleasesServer, archive, serving
from toolchain import debian, golang, releases
from toolchain.catalogue import ENGINES, Engine
from toolchain.download import ClosedError, UnavailableError, _StaysSecure, published_digest
from toolchain.release_table import RELEASES, Asset
from toolchain.running import Running

SCRIPT = "#!/bin/sh\necho version 1.7.99\n"
ACTIONLINT = next(engine for engine in ENGINES if engine.name == "actionlint")
FILE = "/actionlint.tar.gz"


@pytest.fixture
def server() -> Iterator[ReleasesServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def plain_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.go()
    monkeypatch.setattr(debian, "possible", lambda: False)


def _offer(monkeypatch: pytest.MonkeyPatch, *assets: Asset) -> None:
    monkeypatch.setattr(releases, "RELEASES", {"actionlint": assets})


@pytest.fixture
def row(server: ReleasesServer, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """Actionlint as an archive on the server, with the list of checksums at /sums."""
    server.publish(FILE, archive(bin__actionlint=SCRIPT))
    made = Asset(server.url(FILE), server.url("/sums"), {"actionlint": "bin/actionlint"})
    _offer(monkeypatch, made)
    return made


def _left(machine: Machine) -> list[str]:
    return [path.name for path in (machine.cache / "tools").iterdir() if path.is_dir()]


@pytest.mark.usefixtures("row")
def test_a_release_is_downloaded_and_nothing_is_built(machine: Machine, quiet: Progress) -> None:
    path = toolchain.ensure(["actionlint"], quiet)["actionlint"]
    assert subprocess.run([path], capture_output=True, text=True, check=True).stdout == "version 1.7.99\n"
    assert machine.builds() == []
    assert {file.name for file in path.parent.parent.rglob("*")} == {"bin", "actionlint"}, "the archive would stay"


@pytest.mark.usefixtures("row")
def test_a_release_is_downloaded_once(server: ReleasesServer, quiet: Progress) -> None:
    first = toolchain.ensure(["actionlint"], quiet)
    asked = list(server.asked)
    assert toolchain.ensure(["actionlint"], quiet) == first
    assert toolchain.find("actionlint") == first["actionlint"]
    assert server.asked == asked == ["/sums", FILE]
    assert server.probes == 1


@pytest.mark.usefixtures("row")
def test_what_stands_on_path_wins_over_a_release(machine: Machine, server: ReleasesServer, quiet: Progress) -> None:
    own = machine.command("actionlint", "echo 1.7.5")
    assert toolchain.ensure(["actionlint"], quiet)["actionlint"] == own
    assert server.asked == []


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("published", ["list", "list of sha512", "binary mode", "bare digest", "description"])
def test_each_form_in_which_a_release_publishes_its_checksums_is_read(
    server: ReleasesServer, quiet: Progress, published: str
) -> None:
    body = server.files[FILE]
    digest, name = hashlib.sha256(body).hexdigest(), "actionlint.tar.gz"
    server.files["/sums"] = {
        "list": f"{digest}  {name}\n",
        "list of sha512": f"{'1' * 128}  x.tar.gz\n{hashlib.sha512(body).hexdigest()}  {name}\n",
        "binary mode": f"{digest.upper()} *{name}\r\n",
        "bare digest": digest,
        "description": json.dumps({"assets": [{"name": "x"}, {"name": name, "digest": f"sha256:{digest}"}]}),
    }[published].encode()
    assert toolchain.ensure(["actionlint"], quiet)["actionlint"].read_text() == SCRIPT


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize(
    "published", ["", "{}", "not a list", '{"assets": [{"name": "actionlint.tar.gz"}]}', "0" * 64 + "  y"]
)
def test_a_file_without_a_checksum_is_never_downloaded(
    machine: Machine, server: ReleasesServer, quiet: Progress, published: str
) -> None:
    server.files["/sums"] = published.encode()
    toolchain.ensure(["actionlint"], quiet)
    assert server.asked == ["/sums"]
    assert len(machine.builds()) == 1


@pytest.mark.usefixtures("row")
def test_a_file_with_another_checksum_is_refused_and_nothing_is_left(
    machine: Machine, server: ReleasesServer, quiet: Progress
) -> None:
    server.files[FILE] = archive(bin__actionlint="#!/bin/sh\necho of somebody else\n")
    with pytest.raises(CommandError, match=r"not the file it should be: its checksum is [0-9a-f]{64}, expected was"):
        toolchain.ensure(["actionlint"], quiet)
    assert _left(machine) == []
    assert toolchain.find("actionlint") is None
    assert machine.builds() == [], "a person must hear of it, and not of a build that takes its place"


def test_a_pinned_digest_wins_over_what_is_published(
    server: ReleasesServer, row: Asset, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "-".join(golang.platform_name())
    pinned = hashlib.sha256(server.files[FILE]).hexdigest()
    _offer(monkeypatch, Asset(row.url, row.checksums, row.commands, digests={here: pinned}))
    server.files["/sums"] = b"0" * 64 + b"  actionlint.tar.gz\n"
    assert toolchain.ensure(["actionlint"], quiet)["actionlint"].read_text() == SCRIPT


def test_a_pinned_digest_refuses_what_the_release_calls_right(
    machine: Machine, row: Asset, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "-".join(golang.platform_name())
    _offer(monkeypatch, Asset(row.url, row.checksums, row.commands, digests={here: "0" * 64}))
    with pytest.raises(CommandError, match=f"expected was {'0' * 64}"):
        toolchain.ensure(["actionlint"], quiet)
    assert _left(machine) == []


@pytest.mark.usefixtures("row")
def test_a_release_that_is_not_there_is_built_and_that_is_said_in_one_line(
    machine: Machine, server: ReleasesServer
) -> None:
    del server.files[FILE]
    said = io.StringIO()
    assert toolchain.ensure(["actionlint"], Progress(out=said))["actionlint"].exists()
    assert len(machine.builds()) == 1
    (line,) = [line for line in said.getvalue().splitlines() if "instead" in line]
    assert "404" in line
    assert "building actionlint from its module instead" in line


@pytest.mark.usefixtures("row")
def test_a_connection_that_ends_early_is_tried_again_and_leaves_nothing(
    machine: Machine, server: ReleasesServer, quiet: Progress, running: Running
) -> None:
    server.cut.add(FILE)
    with pytest.raises(UnavailableError, match="the connection ended after"):
        releases.download(ACTIONLINT, quiet, running)
    assert server.asked.count(FILE) == 2
    assert _left(machine) == []
    server.cut.clear()
    releases.download(ACTIONLINT, quiet, running)
    assert releases.find(ACTIONLINT, "actionlint") is not None


@pytest.mark.usefixtures("row")
def test_a_host_that_refuses_is_asked_once_a_day(
    machine: Machine, server: ReleasesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.refuses = True
    said = io.StringIO()
    for _ in range(2):
        toolchain.ensure(["actionlint"], Progress(out=said))
        assert not releases.Offer(Progress(out=said)).has(ACTIONLINT)
    assert server.probes == 1, "every `up` would wait for the same refusal"
    assert said.getvalue().count("tried again tomorrow") == 1
    assert len(machine.builds()) == 1
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_401)
    server.refuses = False
    assert releases.Offer(Progress(out=said)).has(ACTIONLINT), "a machine that is online again would never notice"


def test_a_host_that_does_not_listen_is_given_up_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}/actionlint.tar.gz"
    _offer(monkeypatch, Asset(url, url, {"actionlint": "actionlint"}))
    said = io.StringIO()
    toolchain.ensure(["actionlint"], Progress(out=said))
    assert len(machine.builds()) == 1
    assert f"no releases from 127.0.0.1:{port}" in said.getvalue()


def test_a_command_that_is_no_archive_is_downloaded_as_it_is(
    server: ReleasesServer, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish("/1.7.12/actionlint", SCRIPT.encode())
    _offer(monkeypatch, Asset(server.url("/{version}/actionlint"), server.url("/sums"), {"actionlint": ""}))
    path = toolchain.ensure(["actionlint"], quiet)["actionlint"]
    assert subprocess.run([path], capture_output=True, text=True, check=True).stdout == "version 1.7.99\n"


@pytest.mark.usefixtures("row")
def test_no_path_of_an_archive_is_followed(machine: Machine, server: ReleasesServer, quiet: Progress) -> None:
    server.publish(FILE, archive(bin__actionlint=SCRIPT, **{"..__..__..__evil": "x", "other": "y"}))
    toolchain.ensure(["actionlint"], quiet)
    assert [path for path in machine.root.rglob("*") if path.name in {"evil", "other"}] == []


@pytest.mark.usefixtures("row")
def test_an_archive_without_the_command_is_as_good_as_none(
    machine: Machine, server: ReleasesServer, quiet: Progress
) -> None:
    server.publish(FILE, archive(bin__something=SCRIPT))
    toolchain.ensure(["actionlint"], quiet)
    assert len(machine.builds()) == 1


def test_a_redirect_away_from_https_is_not_followed() -> None:
    secure = urllib.request.Request("https://example.test/file")
    with pytest.raises(HTTPError, match="away from HTTPS"):
        _StaysSecure().redirect_request(secure, io.BytesIO(), 302, "", HTTPMessage(), "http://example.test/file")
    followed = _StaysSecure().redirect_request(secure, io.BytesIO(), 302, "", HTTPMessage(), "https://other.test/f")
    assert followed is not None
    assert followed.full_url == "https://other.test/f"


def test_the_language_host_comes_with_the_downloaded_engine(
    server: ReleasesServer, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish("/pulumi.tar.gz", archive(pulumi__pulumi=SCRIPT, **{"pulumi__pulumi-language-python": SCRIPT}))
    asset = Asset(
        server.url("/pulumi.tar.gz"),
        server.url("/sums"),
        {"pulumi": "pulumi/pulumi"},
        ("pulumi/pulumi-language-python", "pulumi/not-in-this-release"),
    )
    monkeypatch.setattr(releases, "RELEASES", {"pulumi": (asset,)})
    assert toolchain.released_language_host() is None
    pulumi = toolchain.ensure(["pulumi"], quiet)["pulumi"]
    assert toolchain.released_language_host() == pulumi.with_name("pulumi-language-python")


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_row_has_the_commands_of_its_engine_from_https(engine: Engine) -> None:
    assets = RELEASES.get(engine.name, ())
    assert assets or engine.name == "keda", "its release, if there is one, would never be used"
    assert {name for asset in assets for name in asset.commands} == (set(engine.commands) if assets else set())
    words = releases._words(engine)
    for asset in assets:
        for url in (asset.url, asset.checksums):
            assert url.format_map(words).startswith("https://")
        assert all(len(digest) in {64, 128} for digest in asset.digests.values())


def test_a_host_behind_a_closed_proxy_is_told_from_a_missing_file(server: ReleasesServer) -> None:
    with pytest.raises(UnavailableError) as missing:
        published_digest(server.url("/nowhere"), "x")
    assert not isinstance(missing.value, ClosedError)
    server.refuses = True
    with pytest.raises(ClosedError):
        published_digest(server.url("/nowhere"), "x")
