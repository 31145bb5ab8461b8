"""The Kubernetes cluster of stack `local`: embedded by default, or one that the reader names."""

from local.cluster.control_plane import ControlPlaneTools
from local.cluster.embedded import EmbeddedCluster
from local.cluster.external import ContextCluster, ExternalTools, KindCluster
from local.cluster.factory import cluster_to_start, embedded_tools, forget, started_cluster
from local.cluster.protocol import Cluster
from local.cluster.selection import Maker, Selection, selection

__all__ = [
    "Cluster",
    "ContextCluster",
    "ControlPlaneTools",
    "EmbeddedCluster",
    "ExternalTools",
    "KindCluster",
    "Maker",
    "Selection",
    "cluster_to_start",
    "embedded_tools",
    "forget",
    "selection",
    "started_cluster",
]
