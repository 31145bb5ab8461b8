"""The Kubernetes cluster of stack `local`: embedded by default, or one that the reader names."""

from local.cluster.choice import Choice, Maker, choice
from local.cluster.control_plane import ControlPlaneTools
from local.cluster.embedded import EmbeddedCluster
from local.cluster.external import ContextCluster, ExternalTools, KindCluster
from local.cluster.opening import cluster_to_start, embedded_tools, forget, started_cluster
from local.cluster.seam import Cluster

__all__ = [
    "Choice",
    "Cluster",
    "ContextCluster",
    "ControlPlaneTools",
    "EmbeddedCluster",
    "ExternalTools",
    "KindCluster",
    "Maker",
    "choice",
    "cluster_to_start",
    "embedded_tools",
    "forget",
    "started_cluster",
]
