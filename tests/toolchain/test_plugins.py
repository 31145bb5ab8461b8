"""A released plugin is found where the engine would find it; a machine that may not fetch one asks once a day."""

import time
from pathlib import Path

import pytest

from common.progress import Progress
from toolchain import plugins, released_language_host, released_plugin, try_install_plugin

from .conftest import Machine

_REFUSES = """
echo "$@" >> {calls}
echo "warning: Error downloading plugin: no such host" >&2
echo "error: failed all 5 attempts" >&2
exit 255
"""
_INSTALLS = """
folder="$PULUMI_HOME/plugins/resource-$4-v$5"
/bin/mkdir -p "$folder" && : > "$folder/pulumi-resource-$4" && /bin/chmod +x "$folder/pulumi-resource-$4"
"""


@pytest.fixture
def refusing(machine: Machine) -> Path:
    return machine.command("pulumi", _REFUSES.format(calls=machine.root / "calls"))


def _attempts(machine: Machine) -> int:
    return len((machine.root / "calls").read_text().splitlines())


def test_the_installed_plugin_of_this_version_is_found(machine: Machine) -> None:
    folder = machine.root / "pulumi" / "plugins" / "resource-aws-v7.51.1"
    there = machine.command("pulumi-resource-aws", "true", folder)
    machine.command("pulumi-resource-aws", "true")
    assert released_plugin("aws", "7.51.1") == there
    assert released_plugin("aws", "7.50.0") == machine.bin / "pulumi-resource-aws"
    assert released_plugin("kubernetes", "4.0.0") is None


def test_a_stand_in_never_counts_as_released(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    standins = machine.checkout / "offline" / "bin"
    for name in ("pulumi-resource-aws", "pulumi-language-python"):
        machine.command(name, "true", standins)
    monkeypatch.setenv("PATH", f"{standins}:{machine.bin}")
    assert released_plugin("aws", "7.51.1") is None
    assert released_language_host() is None


def test_a_plugin_that_can_be_fetched_is_fetched(machine: Machine, quiet: Progress) -> None:
    pulumi = machine.command("pulumi", _INSTALLS)
    had = try_install_plugin("aws", "7.51.1", pulumi, quiet)
    assert had == machine.root / "pulumi" / "plugins" / "resource-aws-v7.51.1" / "pulumi-resource-aws"


def test_a_refusal_is_remembered_for_a_day(
    machine: Machine, refusing: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert try_install_plugin("aws", "7.51.1", refusing, quiet) is None
    assert _attempts(machine) == 1, "every `up` would wait for the same refusal"
    try_install_plugin("kubernetes", "4.30.0", refusing, quiet)
    assert _attempts(machine) == 2, "another plugin was not refused yet"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_401)
    try_install_plugin("aws", "7.51.1", refusing, quiet)
    assert _attempts(machine) == 3, "a machine that is online again would never notice"


def test_the_reason_is_the_cause_and_not_the_count_of_attempts(refusing: Path) -> None:
    assert plugins._fetch("aws", "7.51.1", refusing) == "Error downloading plugin: no such host"


def test_a_download_that_falls_silent_is_ended(machine: Machine) -> None:
    hanging = machine.command("pulumi", "exec /bin/sleep 60")
    assert plugins._fetch("aws", "7.51.1", hanging, silence=0.2) == "nothing arrived for 0 s"


def test_a_slow_download_that_still_moves_is_not_ended(machine: Machine) -> None:
    moving = machine.command(
        "pulumi", 'for i in 1 2 3 4 5 6 7 8 9; do echo x >> "$TMPDIR/part"; /bin/sleep 0.3; done; echo done'
    )
    assert plugins._fetch("aws", "7.51.1", moving, silence=2.0) == "done"
