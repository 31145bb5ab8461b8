"""PATH first, then the quickest way; and what cannot be had is said before the first long build."""

import io
import shutil
from pathlib import Path
from types import MappingProxyType

import pytest

import toolchain
from common.errors import CommandError
from common.progress import Progress
from tests.toolchain.conftest import Machine
from toolchain import build, debian, space
from toolchain.__main__ import main
from toolchain.catalogue import BY_NAME, KEDA, KUBERNETES, Debian


@pytest.fixture(autouse=True)
def plain_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.go()
    monkeypatch.setattr(debian, "possible", lambda: False)


def _root(monkeypatch: pytest.MonkeyPatch, machine: Machine, *, works: bool) -> list[str]:
    """Let apt "install" by putting a command on PATH, or refuse; returns what it was asked for."""
    asked: list[str] = []

    def install(packages: list[Debian], _progress: Progress, _count: str = "") -> None:
        asked.extend(package.package for package in packages)
        if not works:
            raise CommandError("apt-get ended with 100")
        for package in packages:
            command = {"etcd-server": "etcd"}.get(package.package, package.package)
            machine.command(command, "echo version 7.0.15")

    monkeypatch.setattr(debian, "possible", lambda: True)
    monkeypatch.setattr(debian, "install", install)
    return asked


def test_what_stands_on_path_is_taken(machine: Machine, quiet: Progress) -> None:
    own = machine.command("pulumi", "echo v3.270.1")
    assert toolchain.ensure(["pulumi"], quiet) == {"pulumi": own}
    assert machine.builds() == []


@pytest.mark.parametrize("printed", ["v3.100.0", "v4.0.0", "no version at all"])
def test_a_version_that_does_not_fit_is_passed_over(machine: Machine, quiet: Progress, printed: str) -> None:
    own = machine.command("pulumi", f"echo {printed}")
    assert toolchain.find("pulumi") is None
    assert toolchain.ensure(["pulumi"], quiet)["pulumi"] != own


def test_path_wins_over_the_cache(machine: Machine, quiet: Progress) -> None:
    built = toolchain.ensure(["kube-apiserver"], quiet)["kube-apiserver"]
    assert built.is_relative_to(machine.cache)
    own = machine.command("kube-apiserver", "echo Kubernetes v1.36.9")
    assert toolchain.find("kube-apiserver") == own


def test_a_checkouts_links_to_old_builds_do_not_count_as_the_machines_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = machine.checkout / ".local" / "bin"
    machine.command("pulumi", "echo v3.260.0", machine.cache / "tools" / "pulumi-old" / "bin")
    links.mkdir(parents=True)
    (links / "pulumi").symlink_to(machine.cache / "tools" / "pulumi-old" / "bin" / "pulumi")
    machine.command("etcd", "echo etcd Version: 3.4.23", links)
    monkeypatch.setenv("PATH", f"{links}:{machine.bin}")
    assert toolchain.find("pulumi") is None, "the pins moved on, yet the old build would be used for ever"
    assert toolchain.find("etcd") is None


def test_nothing_is_built_by_looking(machine: Machine) -> None:
    assert toolchain.find("kube-apiserver") is None
    assert machine.builds() == []


def test_commands_of_one_engine_are_built_together_and_engines_in_the_order_asked(
    machine: Machine, quiet: Progress
) -> None:
    had = toolchain.ensure(["keda-webhooks", "pulumi", "keda-operator"], quiet)
    assert list(had) == ["keda-webhooks", "pulumi", "keda-operator"]
    assert [Path(call["cwd"]).name for call in machine.builds()] == ["keda", "pulumi"]


def test_a_package_of_seconds_is_taken_before_a_build_of_minutes(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _root(monkeypatch, machine, works=True)
    toolchain.ensure(["redis-server", "etcd", "runc"], quiet)
    assert asked == ["redis-server", "etcd-server", "runc"]
    assert machine.builds() == []


def test_without_root_the_module_is_built_instead(machine: Machine, quiet: Progress) -> None:
    assert toolchain.ensure(["etcd"], quiet)["etcd"].is_relative_to(machine.cache)


def test_where_apt_fails_the_module_is_built_instead(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    _root(monkeypatch, machine, works=False)
    assert toolchain.ensure(["etcd"], quiet)["etcd"].is_relative_to(machine.cache)


def test_where_apt_fails_and_nothing_replaces_it_the_reason_is_said(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    _root(monkeypatch, machine, works=False)
    with pytest.raises(CommandError, match="apt-get ended with 100"):
        toolchain.ensure(["etcd", "redis-server"], quiet)


def test_all_that_cannot_be_had_is_said_before_anything_is_built(machine: Machine, quiet: Progress) -> None:
    machine.command("apt-get", "exit 1")
    with pytest.raises(CommandError, match=r"sudo apt-get install --no-install-recommends redis-server runc$"):
        toolchain.ensure(["pulumi", "redis-server", "runc"], quiet)
    assert machine.builds() == [], "minutes of building, and then a refusal"


def test_a_package_too_old_for_us_is_said_and_not_taken(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(_packages: list[Debian], _progress: Progress, _count: str = "") -> None:
        machine.command("redis-server", "echo Redis server v=5.0.3")

    monkeypatch.setattr(debian, "possible", lambda: True)
    monkeypatch.setattr(debian, "install", install)
    with pytest.raises(CommandError, match=r"redis-server was installed, yet .* not of a fitting version"):
        toolchain.ensure(["redis-server"], quiet)


def test_a_full_disk_is_said_before_the_first_download(
    machine: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_free", lambda _place: 700)
    with pytest.raises(CommandError, match=r"takes up to \d+\.\d GiB; .* has 0\.7 GiB.*ALPHASWARM_CACHE"):
        toolchain.ensure(["pulumi"], quiet)
    assert machine.builds() == []


def test_a_person_sees_how_many_steps_remain(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    _root(monkeypatch, machine, works=True)
    said = io.StringIO()
    toolchain.ensure(["kube-apiserver", "keda-operator"], Progress(out=said))
    assert f"kubernetes {KUBERNETES} (1 of 2)" in said.getvalue()
    assert f"keda {KEDA} (2 of 2)" in said.getvalue()


def test_the_command_lists_without_building_and_tells_the_way(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.command("etcd", "echo etcd Version: 3.4.23")
    assert main(["--list", "--group", "default"]) == 0
    rows = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert "PATH" in rows["etcd"]
    assert "3.4.23" in rows["etcd"]
    assert "Go module kubernetes" in rows["kube-apiserver"]
    assert "Debian package redis-server" in rows["redis-server"]
    assert "kubelet" not in rows
    assert machine.builds() == []


def test_the_command_says_a_problem_in_a_sentence(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pulumy"]) == 1
    assert "Traceback" not in (told := capsys.readouterr().err)
    assert told.startswith("no such tool: pulumy.")
    assert machine.builds() == []


def test_modules_are_built_where_they_lie_unchanged(machine: Machine, quiet: Progress) -> None:
    before = {file: file.read_bytes() for file in build.MODULES.rglob("*") if file.is_file()}
    shutil.rmtree(machine.modules)
    toolchain.ensure(["pulumi"], quiet)
    assert {file: file.read_bytes() for file in build.MODULES.rglob("*") if file.is_file()} == before


def test_the_table_cannot_be_changed_while_the_program_runs() -> None:
    assert isinstance(BY_NAME, MappingProxyType)
