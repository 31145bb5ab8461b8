"""The Kubernetes cluster of stack `local`: embedded by default, or one that the reader names."""

from local.cluster.control_plane import ControlPlaneTools
from local.cluster.embedded import EmbeddedCluster
from local.cluster.external import ContextCluster, ExternalTools, KindCluster
from local.cluster.factory import (
    check_selection,
    clear_selection,
    ensure_cluster,
    ensure_embedded_tools,
    find_cluster,
    required_tools,
    restart_cluster,
    selected_tools,
)
from local.cluster.protocol import Cluster
from local.cluster.selection import ClusterType, Selection, selection

__all__ = [
    "Cluster",
    "ClusterType",
    "ContextCluster",
    "ControlPlaneTools",
    "EmbeddedCluster",
    "ExternalTools",
    "KindCluster",
    "Selection",
    "check_selection",
    "clear_selection",
    "ensure_cluster",
    "ensure_embedded_tools",
    "find_cluster",
    "required_tools",
    "restart_cluster",
    "selected_tools",
    "selection",
]
