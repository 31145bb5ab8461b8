"""From LOCAL_CLUSTER to a cluster, and back from a later command to the one that was started.

The selection is saved, so that `down` and `status` find the cluster whatever LOCAL_CLUSTER says by then, and
neither of them builds a tool. Two clusters at a time would leave the stack's objects in one of them, unseen.
"""

from collections.abc import Sequence
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths
from common.private_files import write_private
from common.progress import Progress
from local.cluster.control_plane import ControlPlaneTools
from local.cluster.embedded import EmbeddedCluster
from local.cluster.external import ContextCluster, ExternalTools, KindCluster
from local.cluster.protocol import Cluster
from local.cluster.selection import ClusterType, Selection, selection
from local.ports import Ports
from local.tools import Tools, ensured
from toolchain import ensure, keda_config
from toolchain.catalogue import KEDA

KEDA_TOOLS = ("keda-operator", "keda-adapter", "keda-webhooks")
EMBEDDED_TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", *KEDA_TOOLS)
_UNUSED = Path("not-needed-to-stop")


def ensure_cluster(
    value: str | None, paths: Paths, ports: Ports, progress: Progress, tools: Tools | None = None
) -> Cluster:
    """Return the cluster that LOCAL_CLUSTER asks for, its tools at hand, and save the selection.

    `tools` gives the tools where they are had in the background already.

    Raises:
        CommandError: another cluster was started, or a tool cannot be had.
    """
    check_selection(value, paths)
    asked = selection(value)
    cluster = _with_tools(asked, paths, ports, progress, tools)
    write_private(_selection_file(paths), _text(asked))
    return cluster


def check_selection(value: str | None, paths: Paths) -> None:
    """Raise CommandError when LOCAL_CLUSTER asks for another cluster than the one that was started."""
    asked, saved = selection(value), _saved_selection(paths)
    if saved is not None and saved != asked:
        raise CommandError(
            f"LOCAL_CLUSTER asks for {_text(asked)}, while this checkout's cluster is {_text(saved)}. "
            f"Run `make down` first, or set LOCAL_CLUSTER={_text(saved)}."
        )


def restart_cluster(paths: Paths, ports: Ports, progress: Progress) -> Cluster:
    """Return the cluster that was started, with the tools to start it again; whatever LOCAL_CLUSTER says now."""
    return _with_tools(_saved_selection(paths) or Selection(ClusterType.EMBEDDED), paths, ports, progress, None)


def find_cluster(paths: Paths, ports: Ports) -> Cluster:
    """Return the cluster that was started, or the embedded one if none was: to be stopped or asked how it does."""
    saved = _saved_selection(paths) or Selection(ClusterType.EMBEDDED)
    match saved.type:
        case ClusterType.EMBEDDED:
            return EmbeddedCluster(paths, ports, ControlPlaneTools(*[_UNUSED] * 8))
        case ClusterType.KIND:
            return KindCluster(paths, ExternalTools(_kubectl(), _UNUSED, KEDA), saved.name)
        case ClusterType.CONTEXT:
            return ContextCluster(saved.name or "", paths, _kubectl())


def clear_selection(paths: Paths) -> None:
    """Note that the cluster was stopped: the next start may select another."""
    _selection_file(paths).unlink(missing_ok=True)


def required_tools(paths: Paths) -> Sequence[str]:
    """Return the names of the tools by which the cluster that was started is started again."""
    return _tools_of(_saved_selection(paths) or Selection(ClusterType.EMBEDDED))


def selected_tools(value: str | None) -> Sequence[str]:
    """Return the names of the tools that the cluster needs that LOCAL_CLUSTER asks for."""
    return _tools_of(selection(value))


def ensure_embedded_tools(progress: Progress, tools: Tools | None = None) -> ControlPlaneTools:
    """Return every program of the embedded cluster, built first if need be."""
    found = (tools or ensured(progress))(*EMBEDDED_TOOLS)
    programs = {name.replace("-", "_"): found[name] for name in EMBEDDED_TOOLS}
    return ControlPlaneTools(**programs, keda_config=keda_config(progress))


def _tools_of(selected: Selection) -> Sequence[str]:
    return EMBEDDED_TOOLS if selected.type is ClusterType.EMBEDDED else ("kubectl",)


def _with_tools(selected: Selection, paths: Paths, ports: Ports, progress: Progress, tools: Tools | None) -> Cluster:
    match selected.type:
        case ClusterType.EMBEDDED:
            return EmbeddedCluster(paths, ports, ensure_embedded_tools(progress, tools))
        case ClusterType.KIND:
            return KindCluster(paths, ExternalTools(_kubectl(), keda_config(progress), KEDA), selected.name)
        case ClusterType.CONTEXT:
            return ContextCluster(selected.name or "", paths, _kubectl())


def _kubectl() -> Path:
    return ensure(["kubectl"], Progress())["kubectl"]


def _selection_file(paths: Paths) -> Path:
    return paths.run / "cluster.chosen"


def _saved_selection(paths: Paths) -> Selection | None:
    return selection(_selection_file(paths).read_text()) if _selection_file(paths).exists() else None


def _text(selected: Selection) -> str:
    return selected.type + (f":{selected.name}" if selected.name else "")
