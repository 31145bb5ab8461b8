import fcntl
import json
import os
import stat
import tomllib
from pathlib import Path

import pytest

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local.builder import service
from local.builder.buildkitd import BuildKit, TrustedRegistry
from local.builder.buildx import write_builder
from local.builder.service import Builder, BuilderService, Programs
from local.builder.wolfi import Wolfi, base_of


def programs(tmp_path: Path, *, exit_status: int = 1) -> Programs:
    """A buildctl that answers at once and counts its calls; the others are never called."""
    buildctl = tmp_path / "buildctl"
    buildctl.write_text(f"#!/bin/sh\necho call >> {tmp_path}/calls\nexit {exit_status}\n")
    buildctl.chmod(0o755)
    unused = tmp_path / "unused"
    return Programs(buildkitd=unused, buildctl=buildctl, runc=Path("/bin/true"), mmdebstrap=unused)


def calls(tmp_path: Path) -> int:
    log = tmp_path / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    file = tmp_path / "Dockerfile"
    file.write_text("# comment\nARG BASE=registry.example/base@sha256:1\nFROM ${BASE}\n")
    return file


def wolfi(tmp_path: Path, dockerfile: Path, exit_status: int) -> Wolfi:
    return Wolfi(
        programs(tmp_path, exit_status=exit_status).buildctl, "unix:///nowhere", dockerfile, tmp_path / "wolfi.json"
    )


@pytest.mark.parametrize(("exit_status", "reachable"), [(0, True), (1, False)])
def test_buildkit_is_asked_for_wolfi_once(tmp_path: Path, dockerfile: Path, exit_status: int, reachable: bool) -> None:
    probe = wolfi(tmp_path, dockerfile, exit_status)
    assert [probe.reachable(Progress()) for _ in range(3)] == [reachable] * 3
    assert calls(tmp_path) == 1, "each `up` would wait for a network that is not there"


def test_wolfi_is_asked_for_again_when_the_pinned_base_changes(tmp_path: Path, dockerfile: Path) -> None:
    probe = wolfi(tmp_path, dockerfile, 1)
    probe.reachable(Progress())
    dockerfile.write_text(dockerfile.read_text().replace("sha256:1", "sha256:2"))
    probe.reachable(Progress())
    assert calls(tmp_path) == 2


def test_a_dockerfile_that_pins_no_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(CommandError, match="ARG BASE"):
        base_of(tmp_path / "Dockerfile")


def test_the_provider_finds_the_builder_by_its_name(tmp_path: Path) -> None:
    write_builder(tmp_path, "fleet", "unix:///run/b.sock")
    instance = json.loads((tmp_path / "instances" / "fleet").read_text())
    assert (instance["Name"], instance["Driver"]) == ("fleet", "remote")
    assert instance["Nodes"][0]["Endpoint"] == "unix:///run/b.sock"
    assert instance["Nodes"][0]["Files"] is None, "the remote driver refuses a node that carries files"


def test_buildkit_speaks_tls_to_the_registry_and_knows_its_authority(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("authority")
    registry = TrustedRegistry("LOCALHOST:5000", ca_file)
    daemon = BuildKit(tmp_path / "buildkitd", Path("/bin/true"), Paths(tmp_path), registry)
    config = daemon._write_config(tmp_path / "layers")
    parsed = tomllib.loads(config.read_text())
    assert parsed["registry"]["LOCALHOST:5000"] == {"http": False, "ca": [str(ca_file)]}
    assert parsed["grpc"]["address"] == [daemon.address]
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_a_checkout_too_deep_for_a_socket_is_refused_before_anything_starts(tmp_path: Path) -> None:
    deep = Paths(tmp_path / ("d" * 100))
    daemon = BuildKit(tmp_path / "buildkitd", Path("/bin/true"), deep, TrustedRegistry("r", None))
    with pytest.raises(CommandError, match="shorter path" if os.geteuid() == 0 else "needs root"):
        daemon.start()


def test_without_root_the_builder_says_that_it_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="needs root"):
        BuildKit(tmp_path / "b", Path("/bin/true"), Paths(tmp_path), TrustedRegistry("r", None)).start()


def test_the_registrys_authority_is_trusted_beside_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    ca_file = tmp_path / "tls" / "ca.crt"
    ca_file.parent.mkdir()
    ca_file.write_text("authority")
    env = BuilderService(programs(tmp_path), Paths(tmp_path), TrustedRegistry("LOCALHOST:1", ca_file))._env()
    trusted, *others = env["SSL_CERT_DIR"].split(":")
    assert [file.read_text() for file in Path(trusted).iterdir()] == ["authority"]
    assert others == ["/etc/ssl/certs", "/etc/pki/tls/certs"], "the engine could reach nobody else any more"


@pytest.mark.parametrize(
    ("stands_in", "emulated", "platforms"),
    [
        (True, False, ("linux/amd64", "linux/arm64")),
        (False, True, ("linux/amd64", "linux/arm64")),
        (False, False, ("linux/amd64",)),
    ],
)
def test_the_other_architecture_is_built_where_its_base_can_be_had(
    monkeypatch: pytest.MonkeyPatch, stands_in: bool, emulated: bool, platforms: tuple[str, ...]
) -> None:
    monkeypatch.setattr(service, "native_architecture", lambda: "amd64")
    monkeypatch.setattr(service, "_emulated", lambda _: emulated)
    assert service._platforms(stands_in=stands_in) == platforms


def test_an_image_on_the_stand_in_never_claims_to_be_on_wolfi() -> None:
    digest = "sha256:" + "1" * 64
    stood_in = Builder("b", "unix:///b", {"base": f"oci-layout:///x@{digest}"}, ("linux/amd64",), {})
    assert stood_in.build_args["BASE"] == f"stand-in.invalid/debian@{digest}"
    assert "BASE" not in Builder("b", "unix:///b", {}, ("linux/amd64",), {}).build_args


def test_times_of_an_image_are_fixed_on_every_base() -> None:
    for contexts in ({}, {"base": "oci-layout:///x@sha256:1"}):
        assert Builder("b", "unix:///b", contexts, (), {}).build_args["SOURCE_DATE_EPOCH"] == "0"


def test_a_builder_that_pushes_nothing_needs_no_registry(tmp_path: Path) -> None:
    parsed = tomllib.loads(
        BuildKit(tmp_path / "b", Path("/bin/true"), Paths(tmp_path), None)
        ._write_config(tmp_path / "layers")
        .read_text()
    )
    assert "registry" not in parsed
    assert BuilderService(programs(tmp_path), Paths(tmp_path), None)._env().keys() == {"BUILDX_CONFIG"}


def daemon(folder: Path, shared: Path | None) -> BuildKit:
    return BuildKit(folder / "buildkitd", Path("/bin/true"), Paths(folder), None, shared)


def test_layers_lie_with_the_checkout_unless_they_are_shared(tmp_path: Path) -> None:
    shared = tmp_path / "cache" / "buildkit"
    assert daemon(tmp_path, shared)._choose_root() == shared
    assert daemon(tmp_path, None)._choose_root().is_relative_to(tmp_path / ".local")


def test_while_another_daemon_holds_the_shared_layers_a_checkout_has_its_own(tmp_path: Path) -> None:
    shared = tmp_path / "cache" / "buildkit"
    shared.mkdir(parents=True)
    with (shared / "buildkitd.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert daemon(tmp_path, shared)._choose_root().is_relative_to(tmp_path / ".local")
    assert daemon(tmp_path, shared)._choose_root() == shared


def test_what_another_daemon_holds_is_left_alone_when_this_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, unmounted = tmp_path / "cache" / "buildkit", list[Path]()
    monkeypatch.setattr("local.builder.buildkitd.unmount_within", unmounted.append)
    mine = daemon(tmp_path, shared)
    mine._write_config(shared)
    with (shared / "buildkitd.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mine.stop()
        assert unmounted == [], "the layers of a running daemon were unmounted"
    mine.stop()
    assert unmounted == [shared]
