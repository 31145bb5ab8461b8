"""KEDA's manifests are read from its module, in seconds, without any of its commands."""

import pytest

from common.errors import CommandError
from common.progress import Progress
from tests.toolchain.conftest import Machine
from toolchain import keda_config


def test_manifests_need_no_build_of_keda(machine: Machine, quiet: Progress) -> None:
    machine.go()
    assert (keda_config(quiet) / "crd" / "one.yaml").read_text() == "kind: One\n"
    assert machine.builds() == [], "minutes of compiling for a few files of text"


def test_manifests_are_downloaded_once(machine: Machine, quiet: Progress) -> None:
    machine.go()
    first = keda_config(quiet)
    asked = len([call for call in machine.calls() if call["arguments"][0] == "mod"])
    assert keda_config(quiet) == first
    assert len([call for call in machine.calls() if call["arguments"][0] == "mod"]) == asked == 1


def test_copies_of_manifests_can_be_removed(machine: Machine, quiet: Progress) -> None:
    machine.go()
    copied = keda_config(quiet) / "crd" / "one.yaml"
    assert copied.stat().st_mode & 0o200
    assert copied.parent.stat().st_mode & 0o200, "the cache could not be deleted by its owner"


def test_a_module_that_cannot_be_had_says_so_and_leaves_nothing(machine: Machine, quiet: Progress) -> None:
    machine.command(
        "go",
        """#!/bin/sh
[ "$1" = env ] && echo go1.26.8 && exit
echo '{"Error": "verifying module: checksum mismatch"}'
exit 1
""",
    )
    with pytest.raises(CommandError, match=r"KEDA's manifests could not be read .*checksum mismatch"):
        keda_config(quiet)
    assert [file.name for file in (machine.cache / "tools").iterdir() if file.is_dir()] == []
