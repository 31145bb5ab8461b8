"""docs/preview-access.yaml on a real API server: a preview may ask for every change, and changes nothing."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.paths import Paths
from common.progress import Progress
from config.loading import from_stack_file
from local.cluster.control_plane import ControlPlane, ControlPlaneTools
from local.ports import Ports
from manifests import Manifest
from queues import IMAGES
from tests.program.harness import written_objects
from tests.waiting import eventually
from toolchain import ensure

ROOT = Path(__file__).resolve().parents[3]
ACCESS = ROOT / "docs" / "preview-access.yaml"
DIGESTS = {image.name: f"registry.example/{image.name}@sha256:{'0' * 64}" for image in IMAGES}
PLURALS = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
PREVIEW = ("--as", "preview", "--as-group", "fleet-preview")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "asked-for"}}


@dataclass(frozen=True)
class Server:
    """kubectl with the administrator's rights."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, objects: list[Any] | None = None) -> "subprocess.CompletedProcess[str]":
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}) if objects is not None else None
        return subprocess.run(
            [self.kubectl, "--kubeconfig", self.kubeconfig, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def apply(self, objects: list[Any], *options: str) -> "subprocess.CompletedProcess[str]":
        return self.run("apply", "--server-side", "--validate=false", "--filename", "-", *options, objects=objects)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server alone, without KEDA: nothing here needs a controller."""
    tools = ensure(["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"], Progress())
    paths = Paths(tmp_path_factory.mktemp("access"))
    unused = paths.checkout / "unused"
    plane = ControlPlane(
        paths,
        Ports(paths.run / "ports.json"),
        ControlPlaneTools(
            etcd=tools["etcd"],
            kube_apiserver=tools["kube-apiserver"],
            kube_controller_manager=tools["kube-controller-manager"],
            kubectl=tools["kubectl"],
            keda_operator=unused,
            keda_adapter=unused,
            keda_webhooks=unused,
            keda_config=unused,
        ),
    )
    plane.pki.ensure()
    servers = (plane.etcd, plane.api_server)
    try:
        for each in servers:
            each.start()
        plane.write_kubeconfigs()
        yield _with_access(Server(tools["kubectl"], plane.kubeconfig))
    finally:
        for each in reversed(servers):
            each.stop()


def _with_access(server: Server) -> Server:
    done = server.run("apply", "--server-side", "--filename", str(ACCESS))
    assert done.returncode == 0, done.stderr
    # A policy takes effect some time after it was applied.
    eventually(lambda: "only dry runs" in server.apply([NAMESPACE], *PREVIEW).stderr, expected=True)
    return server


def _fleet() -> list[Any]:
    """Every object of prod, in both layouts."""
    settings = from_stack_file(ROOT / "Pulumi.prod.yaml")
    other = settings.model_copy(update={"layout": "per-image"})
    return [found for each in (settings, other) for found in written_objects(each, DIGESTS)]


def _resource(manifest: Manifest) -> tuple[str, str]:
    """API group and plural of an object."""
    group = manifest["apiVersion"].rpartition("/")[0]
    return group, PLURALS.get(manifest["kind"], f"{manifest['kind'].lower()}s")


def test_the_role_names_every_kind_the_fleet_has() -> None:
    (role,) = [each for each in yaml.safe_load_all(ACCESS.read_text(encoding="utf-8")) if each["kind"] == "ClusterRole"]
    allowed = {
        (group, resource)
        for rule in role["rules"]
        if "patch" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    needed = {_resource(manifest) for manifest in _fleet()}
    assert len(needed) >= 9, "the sweep sees hardly any kind"
    assert needed <= allowed, f"previews of {sorted(needed - allowed)} would be forbidden"


@pytest.mark.cluster
def test_a_preview_may_ask_for_every_object_of_the_fleet(server: Server) -> None:
    objects = [manifest for manifest in _fleet() if "keda.sh" not in manifest["apiVersion"]]
    spaces = [manifest for manifest in objects if manifest["kind"] == "Namespace"]
    assert server.apply(spaces).returncode == 0
    done = server.apply(objects, "--dry-run=server", *PREVIEW)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == len(objects)


@pytest.mark.cluster
def test_a_preview_creates_changes_and_deletes_nothing(server: Server) -> None:
    kept = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept", "namespace": "default"}}
    assert server.apply([kept]).returncode == 0
    attempts = (
        server.apply([NAMESPACE], *PREVIEW),
        server.run("label", "secret", "kept", "x=y", *PREVIEW),
        server.run("delete", "secret", "kept", *PREVIEW),
        server.run("delete", "secrets", "--all", "--namespace", "default", *PREVIEW),
    )
    for done in attempts:
        assert done.returncode != 0
        assert "only dry runs" in done.stderr
    assert server.run("get", "secret", "kept", "--output", "name").stdout.strip() == "secret/kept"


@pytest.mark.cluster
def test_the_policy_binds_previews_only(server: Server) -> None:
    assert server.apply([{**NAMESPACE, "metadata": {"name": "of-the-deployer"}}]).returncode == 0
    done = server.run("delete", "validatingadmissionpolicy", "--all", *PREVIEW)
    assert "forbidden" in done.stderr, "a preview could take its own policy away"
