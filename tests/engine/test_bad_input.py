"""What cannot be used is refused in one message that names the key, before anything is registered."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from common.paths import private_folder
from common.progress import Progress
from local.cluster import ControlPlaneTools, ensure_embedded_tools
from local.cluster.control_plane import ControlPlane
from local.ports import Ports
from queues import QUEUES

from .checkout import Checkout, CommandResult
from .fleet import Fleet

pytestmark = pytest.mark.engine

ONE, OTHER, ANOTHER = (queue.name for queue in QUEUES.queues[-3:])
ROOT_ONLY = {"pulumi:pulumi:Stack"}
BAD: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sections": (
        {
            "namespace": ["a"],
            "protect": "perhaps",
            "quota": {"headroom": "two"},
            "metrics": "on",
            "layuot": "per-image",
        },
        (
            "fleet:namespace: given",
            "fleet:protect: given",
            "fleet:quota.headroom: given",
            "fleet:metrics: given",
            "fleet:layuot: unknown key",
        ),
    ),
    "queues": (
        {
            "scaling": {
                f"{ONE}x": {"maxReplicas": 2},
                OTHER: {"minReplicas": 9, "maxReplicas": 3},
                ANOTHER: {"gracePeriod": 60},
            }
        },
        (
            f"fleet:scaling.{ONE}x: there is no such queue",
            f"fleet:scaling.{OTHER}: given {{'minReplicas': 9, 'maxReplicas': 3}}",
            f"fleet:scaling.{ANOTHER}: given {{'gracePeriod': 60}}",
        ),
    ),
    "a moved queue": (
        {"scaling": {ONE: {"image": "alphaswarm-worker"}}},
        (f"fleet:scaling.{ONE}.image: no stack may move a queue",),
    ),
    "no application": (
        {"images": {"source": "build", "application": "../no-such-application"}},
        ("fleet:images.application: given '../no-such-application'; there is no such folder",),
    ),
    "an application's branch": (
        {"images": {"source": "build", "application": "https://git.example.com/tasks.git#main"}},
        ("fleet:images.application: given 'https://git.example.com/tasks.git#main'; 'main' is no full commit",),
    ),
}


@pytest.fixture(scope="module")
def nothing(new_checkout: Callable[[str], Checkout]) -> Fleet:
    """A checkout in which nothing runs."""
    fleet = Fleet(new_checkout("nothing"))
    fleet.stack.create()
    return fleet


@pytest.mark.parametrize("what", BAD)
def test_a_bad_configuration_is_refused_with_each_key_and_nothing_registered(nothing: Fleet, what: str) -> None:
    sections, expected = BAD[what]
    nothing.configure(**sections)
    result = nothing.up()
    assert_one_message(result, *expected)
    assert "nothing was changed" in result.text
    assert registered(nothing) <= ROOT_ONLY


def test_an_unknown_stack_is_refused_with_the_names_there_are(nothing: Fleet) -> None:
    result = nothing.checkout.local("preview", "production")
    assert result.status == 1
    assert "There is no stack 'production'; the stacks are dev, local, prod, staging." in result.err
    assert "Traceback" not in result.text
    assert not (nothing.checkout.paths.state / "stack" / "Pulumi.production.yaml").exists()


@pytest.mark.parametrize("command", [("up",), ("preview", "local")], ids=["up", "preview"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("config:\n  fleet:aws: {region: [\n", "Pulumi.local.yaml is not YAML"),
        ("- a list\n", "Pulumi.local.yaml holds no mapping"),
    ],
    ids=["malformed", "a list"],
)
def test_a_stack_file_that_is_not_yaml_is_refused_by_its_name(
    nothing: Fleet, command: tuple[str, ...], content: str, expected: str
) -> None:
    nothing.checkout.stack_file("local").write_text(content)
    result = nothing.checkout.local(*command)
    assert result.status == 1
    assert result.text.count(expected) == 1
    assert "Traceback" not in result.text
    assert nothing.checkout.servers() == {}, "servers were started for a stack that cannot be"


@pytest.mark.cluster
def test_a_cluster_without_keda_or_out_of_reach_is_refused_before_anything_is_registered(
    new_checkout: Callable[[str], Checkout],
) -> None:
    fleet = Fleet(new_checkout("bare"))
    paths = fleet.checkout.paths
    plane = ControlPlane(paths, Ports(paths.run / "ports.json"), tools())
    private_folder(plane.folder)
    plane.pki.ensure()
    plane.etcd.start()
    plane.api_server.start()
    plane.write_kubeconfigs()
    fleet.stack.create()
    fleet.configure()
    result = fleet.up()
    assert_one_message(result, "The cluster has no KEDA, which scales the per-queue layout.")
    assert "helm install keda kedacore/keda" in result.text
    assert "fleet:layout to per-image" in result.text
    assert registered(fleet) <= ROOT_ONLY
    names = [item["metadata"]["name"] for item in fleet.kubectl.get("namespaces,priorityclasses")["items"]]
    assert not [name for name in names if "alphaswarm" in name]

    plane.api_server.stop()
    plane.etcd.stop()
    result = fleet.up()
    assert_one_message(result, "The cluster cannot be reached:")
    assert registered(fleet) <= ROOT_ONLY


def tools() -> ControlPlaneTools:
    return ensure_embedded_tools(Progress())


def assert_one_message(result: CommandResult, *expected: str) -> None:
    assert result.status not in (0, None), result.text
    shown = result.out[result.out.index("Diagnostics:") :]
    for text in expected:
        assert shown.count(text) == 1, f"{text!r} does not stand once in:\n{shown}"
    assert shown.count("error:") <= 2, shown  # ours, and the engine's own "update failed"
    assert "Traceback" not in result.text


def registered(fleet: Fleet) -> set[str]:
    return {resource["type"] for resource in fleet.state()}
