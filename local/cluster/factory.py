"""From LOCAL_CLUSTER to a cluster, and back from a later command to the one that was started.

What was started is remembered, so that `down` and `status` find it whatever LOCAL_CLUSTER says by then, and
neither of them builds a tool. Two clusters at a time would leave the stack's objects in one of them, unseen.
"""

from pathlib import Path

from common.errors import CommandError
from common.paths import Paths
from common.private_files import write_private
from common.progress import Progress
from local.cluster.control_plane import ControlPlaneTools
from local.cluster.embedded import EmbeddedCluster
from local.cluster.external import ContextCluster, ExternalTools, KindCluster
from local.cluster.protocol import Cluster
from local.cluster.selection import Maker, Selection, selection
from local.ports import Ports
from toolchain import ensure, keda_config
from toolchain.catalogue import KEDA

KEDA_TOOLS = ("keda-operator", "keda-adapter", "keda-webhooks")
EMBEDDED_TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", *KEDA_TOOLS)
_UNUSED = Path("not-needed-to-stop")


def cluster_to_start(value: str | None, paths: Paths, ports: Ports, progress: Progress) -> Cluster:
    """The cluster that LOCAL_CLUSTER asks for, its tools at hand; remembered until `forget`."""
    asked, kept = selection(value), _kept(paths)
    if kept is not None and kept != asked:
        raise CommandError(
            f"LOCAL_CLUSTER asks for {_text(asked)}, while this checkout's cluster is {_text(kept)}. "
            f"Run `make down` first, or set LOCAL_CLUSTER={_text(kept)}."
        )
    cluster = _with_tools(asked, paths, ports, progress)
    write_private(_memory(paths), _text(asked))
    return cluster


def started_cluster(paths: Paths, ports: Ports) -> Cluster:
    """The cluster that was started, or the embedded one if none was: to be stopped or asked how it does."""
    kept = _kept(paths) or Selection(Maker.EMBEDDED)
    match kept.maker:
        case Maker.EMBEDDED:
            return EmbeddedCluster(paths, ports, ControlPlaneTools(*[_UNUSED] * 8))
        case Maker.KIND:
            return KindCluster(paths, ExternalTools(_kubectl(), _UNUSED, KEDA), kept.name)
        case Maker.CONTEXT:
            return ContextCluster(kept.name or "", paths, _kubectl())


def forget(paths: Paths) -> None:
    """Say that the cluster was stopped: the next start may choose another."""
    _memory(paths).unlink(missing_ok=True)


def embedded_tools(progress: Progress) -> ControlPlaneTools:
    """Every program of the embedded cluster, built first if need be."""
    found = ensure(EMBEDDED_TOOLS, progress)
    programs = {name.replace("-", "_"): found[name] for name in EMBEDDED_TOOLS}
    return ControlPlaneTools(**programs, keda_config=keda_config(progress))


def _with_tools(asked: Selection, paths: Paths, ports: Ports, progress: Progress) -> Cluster:
    match asked.maker:
        case Maker.EMBEDDED:
            return EmbeddedCluster(paths, ports, embedded_tools(progress))
        case Maker.KIND:
            return KindCluster(paths, ExternalTools(_kubectl(), keda_config(progress), KEDA), asked.name)
        case Maker.CONTEXT:
            return ContextCluster(asked.name or "", paths, _kubectl())


def _kubectl() -> Path:
    return ensure(["kubectl"], Progress())["kubectl"]


def _memory(paths: Paths) -> Path:
    return paths.run / "cluster.chosen"


def _kept(paths: Paths) -> Selection | None:
    return selection(_memory(paths).read_text()) if _memory(paths).exists() else None


def _text(chosen: Selection) -> str:
    return chosen.maker + (f":{chosen.name}" if chosen.name else "")
