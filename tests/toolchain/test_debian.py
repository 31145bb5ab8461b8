"""Packages come in one call, start nothing, and where they may not be installed a person is told what to type."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import CommandError
from common.progress import Progress
from toolchain import debian
from toolchain.catalogue import Debian

from .conftest import Machine

_PACKAGES = (Debian("redis-server", ("redis-server",)), Debian("runc"))

# `known` lists packages of apt's lists; `update` makes every package known; `stale` fails installs until then.
_APT = """#!{python}
import json, os, pathlib, subprocess, sys
root = pathlib.Path({root!r})
known = root / "known"
if sys.argv[0].endswith("apt-cache"):
    sys.exit(0 if sys.argv[2] in known.read_text().split() else 100)
policy = root / "policy-rc.d"
call = {{"arguments": sys.argv[3:], "env": dict(os.environ)}}
call["policy"] = subprocess.run([policy]).returncode if policy.exists() else None
with (root / "apt-calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if sys.argv[3] == "update":
    known.write_text("redis-server runc")
    (root / "stale").unlink(missing_ok=True)
elif (root / "stale").exists():
    sys.exit("E: Failed to fetch: 404 Not Found")
elif (root / "refused").exists():
    sys.exit("E: Unable to locate package")
"""


@pytest.fixture
def apt(machine: Machine) -> Machine:
    for name in ("apt-get", "apt-cache"):
        machine.command(name, _APT.format(python=sys.executable, root=str(machine.root)))
    (machine.root / "known").write_text("redis-server runc")
    return machine


def _calls(machine: Machine) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (machine.root / "apt-calls").read_text().splitlines()]


def _policy(machine: Machine) -> Path:
    return machine.root / "policy-rc.d"


def test_all_packages_come_in_one_call_that_asks_nothing(apt: Machine, quiet: Progress) -> None:
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    (call,) = _calls(apt)
    assert call["arguments"] == ["install", "--yes", "--no-install-recommends", "redis-server", "runc"]
    assert call["env"]["DEBIAN_FRONTEND"] == "noninteractive"


def test_no_server_may_start_while_packages_are_installed(apt: Machine, quiet: Progress) -> None:
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    (call,) = _calls(apt)
    assert call["policy"] == 101, "a Redis would start on 6379 of somebody's laptop"
    assert not _policy(apt).exists(), "no server of this machine could be started any more"


def test_a_policy_left_by_a_crash_forbids_nothing(
    apt: Machine, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 1)  # above the highest pid there can be
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    (call,) = _calls(apt)
    assert call["policy"] == 0


def test_the_machines_own_policy_is_left_alone(apt: Machine, quiet: Progress) -> None:
    _policy(apt).write_text("#!/bin/sh\nexit 104\n")
    _policy(apt).chmod(0o755)
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    assert _policy(apt).read_text() == "#!/bin/sh\nexit 104\n"


def test_no_server_is_left_to_start_at_the_next_boot(apt: Machine, quiet: Progress) -> None:
    apt.command("systemctl", f'echo "$@" > {apt.root}/systemctl-call')
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    assert (apt.root / "systemctl-call").read_text() == "disable --quiet redis-server\n"


def test_lists_are_fetched_only_when_a_package_is_unknown(apt: Machine, quiet: Progress) -> None:
    (apt.root / "known").write_text("runc")
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    assert [call["arguments"][0] for call in _calls(apt)] == ["update", "install"]


def test_lists_older_than_the_mirror_are_fetched_again(apt: Machine, quiet: Progress) -> None:
    (apt.root / "stale").touch()
    debian.install(_PACKAGES, quiet, policy=_policy(apt))
    assert [call["arguments"][0] for call in _calls(apt)] == ["install", "update", "install"]


def test_a_refusal_shows_what_apt_said(apt: Machine, quiet: Progress) -> None:
    (apt.root / "refused").touch()
    with pytest.raises(CommandError, match="Unable to locate package"):
        debian.install(_PACKAGES, quiet, policy=_policy(apt))
    assert not _policy(apt).exists()


def test_only_root_installs(apt: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert not debian.possible()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert debian.possible()
    (apt.bin / "apt-get").unlink()
    assert not debian.possible()
