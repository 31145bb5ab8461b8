import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.errors import CommandError
from common.paths import Paths
from common.progress import Progress
from local import tools as local_tools
from local.cluster import (
    ClusterType,
    ContextCluster,
    EmbeddedCluster,
    ExternalTools,
    KindCluster,
    Selection,
    factory,
    selection,
)
from local.cluster.external import kind_clusters
from local.ports import Ports

# Each pretended command appends its arguments to `calls` and answers by what lies in the folder beside it.
KIND = """#!/bin/sh
here=$(dirname "$0"); echo "kind $*" >> "$here/calls"
case "$1 $2" in
  "get clusters") cat "$here/clusters" 2>/dev/null || echo "No kind clusters found." >&2 ;;
  "create cluster") [ -e "$here/broken" ] && { echo "no space left on device" >&2; exit 1; }
     echo "$4" >> "$here/clusters" ;;
  "delete cluster") rm -f "$here/clusters" ;;
esac
"""
KUBECTL = """#!/bin/sh
here=$(dirname "$0"); echo "kubectl $*" >> "$here/calls"
case "$*" in
  "config get-contexts"*) echo dev; echo staging ;;
  "config view"*missing) echo 'error: cannot locate context missing' >&2; exit 1 ;;
  "config view"*) echo 'kind: Config' ;;
  *"get --raw /version"*) [ -e "$here/down" ] && { echo noise >&2; echo "connection refused" >&2; exit 1; }
     echo '{}' ;;
  *"get crd"*) [ -e "$here/keda" ] ;;
  kustomize*) cat "$here/manifests.yaml" ;;
  *apply*) cat > "$here/applied" ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in (("kind", KIND), ("kubectl", KUBECTL), ("docker", "#!/bin/sh\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "config" / "default").mkdir(parents=True)
    (folder / "config" / "default" / "kustomization.yaml").touch()
    deployment = {"kind": "Deployment", "spec": {"image": "ghcr.io/kedacore/keda:main"}}
    (folder / "manifests.yaml").write_text(json.dumps(deployment))
    return folder


def calls(tools: Path) -> list[str]:
    return (tools / "calls").read_text().splitlines() if (tools / "calls").exists() else []


def said(tools: Path, beginning: str) -> list[str]:
    return [call for call in calls(tools) if call.startswith(beginning)]


def kind(tmp_path: Path, tools: Path, name: str | None = None, path: str | None = None) -> KindCluster:
    environment: Mapping[str, str] = {"PATH": str(tools) if path is None else path}
    external = ExternalTools(tools / "kubectl", tools / "config", "2.20.2")
    return KindCluster(Paths(tmp_path / "checkout"), external, name, environment)


def context(tmp_path: Path, tools: Path, name: str) -> ContextCluster:
    return ContextCluster(name, Paths(tmp_path / "checkout"), tools / "kubectl")


def test_a_kind_cluster_is_named_after_its_checkout(tmp_path: Path, tools: Path) -> None:
    mine, other = kind(tmp_path, tools), kind(tmp_path / "second", tools)
    assert mine.name.startswith("alphaswarm-")
    assert mine.name != other.name, "two checkouts would share a cluster"
    assert kind(tmp_path, tools).name == mine.name
    assert mine.context == f"kind-{mine.name}"


def test_kind_clusters_are_read_whether_there_are_any_or_none(tools: Path) -> None:
    assert kind_clusters(tools / "kind") == []
    (tools / "clusters").write_text("one\ntwo\n")
    assert kind_clusters(tools / "kind") == ["one", "two"]


def test_a_missing_kind_cluster_is_made_with_keda_and_deleted_again(tmp_path: Path, tools: Path) -> None:
    cluster = kind(tmp_path, tools)
    cluster.start(Progress())
    assert said(tools, "kind create") == [
        f"kind create cluster --name {cluster.name} --kubeconfig {cluster.kubeconfig} --wait 120s"
    ]
    assert "ghcr.io/kedacore/keda:2.20.2" in (tools / "applied").read_text()
    assert len([call for call in calls(tools) if "rollout status" in call]) == 3
    cluster.stop(Progress())
    assert said(tools, "kind delete") == [
        f"kind delete cluster --name {cluster.name} --kubeconfig {cluster.kubeconfig}"
    ]


def test_a_second_start_neither_makes_nor_installs_again(tmp_path: Path, tools: Path) -> None:
    kind(tmp_path, tools).start(Progress())
    (tools / "keda").touch()
    (tools / "applied").unlink()
    kind(tmp_path, tools).start(Progress())
    assert len(said(tools, "kind create")) == 1
    assert not (tools / "applied").exists()


def test_a_kind_cluster_that_was_there_before_is_never_deleted(tmp_path: Path, tools: Path) -> None:
    (tools / "clusters").write_text("theirs\n")
    cluster = kind(tmp_path, tools, "theirs")
    cluster.start(Progress())
    assert said(tools, "kind export") == [f"kind export kubeconfig --name theirs --kubeconfig {cluster.kubeconfig}"]
    cluster.stop(Progress())
    assert said(tools, "kind create") == said(tools, "kind delete") == []


def test_a_cluster_cut_short_while_it_was_made_is_still_ours_to_delete(tmp_path: Path, tools: Path) -> None:
    (tools / "broken").touch()
    with pytest.raises(CommandError, match="no space left on device"):
        kind(tmp_path, tools).start(Progress())
    kind(tmp_path, tools).stop(Progress())
    assert len(said(tools, "kind delete")) == 1, "half a cluster stays behind"


def test_without_kind_or_docker_the_message_names_what_is_missing(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(CommandError, match="docker and kind are not there"):
        kind(tmp_path, tools, path="").start(Progress())
    (tools / "docker").unlink()
    with pytest.raises(CommandError, match="docker is not there"):
        kind(tmp_path, tools).start(Progress())


def test_a_context_is_copied_alone_into_a_private_file(tmp_path: Path, tools: Path) -> None:
    (tools / "keda").touch()
    cluster = context(tmp_path, tools, "dev")
    cluster.start(Progress())
    assert said(tools, "kubectl config") == ["kubectl config view --raw --minify --flatten --context dev"]
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    assert cluster.status()[0].running
    cluster.stop(Progress())
    assert not cluster.kubeconfig.exists()
    assert not [call for call in calls(tools) if "delete" in call or "apply" in call], "the cluster is not ours"


def test_an_unknown_context_is_refused_with_those_there_are(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(CommandError, match="it has dev, staging"):
        context(tmp_path, tools, "missing").start(Progress())


def test_an_unreachable_context_gives_the_reason_and_the_way_out(tmp_path: Path, tools: Path) -> None:
    (tools / "down").touch()
    with pytest.raises(CommandError, match=r"dev does not answer: connection refused\. .*embedded"):
        context(tmp_path, tools, "dev").start(Progress())


def test_a_context_without_keda_says_how_to_install_it_and_installs_nothing(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(CommandError, match="helm --kube-context dev install keda"):
        context(tmp_path, tools, "dev").start(Progress())
    assert not (tools / "applied").exists()


@pytest.fixture
def ready_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(names: list[str], _: Progress) -> dict[str, Path]:
        return {name: Path(name) for name in names}

    monkeypatch.setattr(factory, "ensure", ensure)
    monkeypatch.setattr(local_tools, "ensure", ensure)
    monkeypatch.setattr(factory, "keda_config", lambda _: Path("config"))


@pytest.mark.usefixtures("ready_made")
def test_a_later_command_finds_the_cluster_that_was_started(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    ports = Ports(paths.run / "ports.json")
    assert isinstance(factory.find_cluster(paths, ports), EmbeddedCluster)
    factory.ensure_cluster("context:dev", paths, ports, Progress())
    found = factory.find_cluster(paths, ports)
    assert isinstance(found, ContextCluster)
    assert found.context == "dev"


@pytest.mark.usefixtures("ready_made")
def test_another_cluster_is_refused_while_one_is_started(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    ports = Ports(paths.run / "ports.json")
    factory.ensure_cluster("kind:mine", paths, ports, Progress())
    with pytest.raises(CommandError, match="LOCAL_CLUSTER=kind:mine"):
        factory.ensure_cluster(None, paths, ports, Progress())
    factory.clear_selection(paths)
    assert isinstance(factory.ensure_cluster(None, paths, ports, Progress()), EmbeddedCluster)


@pytest.mark.usefixtures("ready_made")
def test_a_kind_cluster_needs_no_build_of_keda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ensure(names: list[str], _: Progress) -> dict[str, Path]:
        asked.extend(names)
        return {name: Path(name) for name in names}

    monkeypatch.setattr(factory, "ensure", ensure)
    paths = Paths(tmp_path)
    factory.ensure_cluster("kind:mine", paths, Ports(paths.run / "ports.json"), Progress())
    assert asked == ["kubectl"], "minutes of compiling for a few files of text"


@pytest.mark.usefixtures("ready_made")
def test_every_tool_is_put_where_it_belongs() -> None:
    tools = factory.ensure_embedded_tools(Progress())
    assert tools.kube_apiserver == Path("kube-apiserver")
    assert tools.keda_webhooks == Path("keda-webhooks")
    assert tools.keda_config == Path("config")


def test_a_choice_reads_back_as_it_was_written() -> None:
    assert factory._text(Selection(ClusterType.KIND, "mine")) == "kind:mine"
    assert factory._text(Selection(ClusterType.EMBEDDED)) == "embedded"
    assert selection(factory._text(Selection(ClusterType.CONTEXT, "a:b"))) == Selection(ClusterType.CONTEXT, "a:b")
