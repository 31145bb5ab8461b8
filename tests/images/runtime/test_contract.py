"""What is private in Celery and kombu stands in one place, and a release without it is refused before a task starts."""

import ast
import logging
import tomllib
from dataclasses import replace

import pytest
from alphaswarm_runtime import contract
from alphaswarm_runtime.errors import ConfigurationError
from packaging.requirements import Requirement

from images.build.check_application import REDIS, SUPPORTED
from tests.images.runtime.harness import SHIPPED


def private_names() -> set[str]:
    """The private names that the package reads or sets on what is not its own: ruff wants each excused."""
    found = set()
    for file in SHIPPED.rglob("*.py"):
        text = file.read_text()
        excused = {number for number, line in enumerate(text.splitlines(), start=1) if "noqa: SLF001" in line}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.lineno in excused:
                on_self = isinstance(node.value, ast.Name) and node.value.id == "self"
                found |= set() if on_self else {node.attr}
    return found


def named() -> set[str]:
    return {name for use in contract.USES for name in use.names}


def test_this_celery_and_kombu_fit(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        contract.check()
    assert not caplog.records, "the versions that the tests run with are not those that the contract names"


def test_every_private_name_in_use_is_in_the_contract() -> None:
    assert private_names() <= named()
    assert private_names() >= {"_delivered", "_on_ack"}, "nothing is found: the search is broken"


def test_a_release_without_a_name_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(contract.USES[0], names=("_brpop_start", "_brpop_of_another_release"))
    monkeypatch.setattr(contract, "USES", (gone, contract.Use("kombu.no_such_module", ("any",), "")))
    with pytest.raises(ConfigurationError) as refused:
        contract.check()
    assert "kombu.transport.redis._brpop_of_another_release" in str(refused.value)
    assert "kombu.no_such_module" in str(refused.value)
    assert "_brpop_start" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_minor_version_that_was_not_tested_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(contract.CHECKED, "kombu", "5.99")
    with caplog.at_level(logging.WARNING):
        contract.check()
    assert "was not tested with kombu" in caplog.text


def test_an_applications_lock_is_judged_by_what_the_runtime_declares_and_was_tested_with() -> None:
    declared = tomllib.loads((SHIPPED.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    ranges = {one.name: one.specifier for one in map(Requirement, declared)}
    judged = {one.name: f">={one.oldest},<{one.next_major}" for one in SUPPORTED}
    assert {name: ranges[name] for name in judged} == judged, "one that fits is refused, or one that fails is built"
    assert {one.name: one.tested for one in SUPPORTED} == contract.CHECKED
    assert ranges.keys() - judged.keys() == {REDIS}, "a package whose version is judged by nobody"
