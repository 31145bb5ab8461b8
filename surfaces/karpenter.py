"""deploy/karpenter/: example NodePools, so that a node's end waits for the tasks on it.

Karpenter evicts what runs on a node that expires, drifts or is consolidated, waits for pods that may not be disrupted,
and forces both to end when the node's `terminationGracePeriod` is over. It must be as long as the longest grace period
of the queues that run there, or hour-long tasks are killed with their node.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from config.quantities import total_cpu, total_memory
from queues import IMAGES, QUEUES, Image, Queue
from surfaces.yaml_text import dump_block

NODES: Final = "alphaswarm.io/nodes"  # the label by which a stack's file chooses the nodes
ROLLOUT: Final = 2  # old pods in their grace period, and new ones
EXPIRE_AFTER: Final = "336h"  # two weeks; EKS Auto Mode allows no more than 21 days
HEADER: Final = """\
# Generated from queues.py by `make surfaces`; do not edit. An example: copy it, and name your own node class.
# Pods come to these nodes by {how} in the stack's file.
# The node waits {seconds} s for its tasks: the longest grace period of {queues}.
"""


def karpenter_node_pools() -> dict[str, str]:
    """Return the files' text by name: a pool for each image, and one for queues with GPUs."""
    files: dict[str, str] = {}
    for image in IMAGES:
        queues = [queue for queue in QUEUES.of(image) if not queue.gpus]
        how = f"fleet:pods.{image.target}.nodeSelector {{{NODES}: {image.target}}}"
        files |= _file(image.name, image.target, queues, how) if queues else {}
    with_gpus = [queue for queue in QUEUES.queues if queue.gpus]
    how = f"fleet:gpu.nodeSelector {{{NODES}: gpu}} and its tolerations"
    return files | (_file("alphaswarm-gpu", "gpu", with_gpus, how) if with_gpus else {})


def _file(name: str, nodes: str, queues: Iterable[Queue], how: str) -> dict[str, str]:
    found = tuple(queues)
    seconds = max(int(queue.grace_period.total_seconds()) for queue in found)
    header = HEADER.format(how=how, seconds=seconds, queues=", ".join(queue.name for queue in found))
    return {f"{name}.yaml": header + dump_block(_node_pool(name, nodes, found, seconds))}


def _node_pool(name: str, nodes: str, queues: tuple[Queue, ...], seconds: int) -> Mapping[str, Any]:
    gpus = any(queue.gpus for queue in queues)
    requirements = [
        ("kubernetes.io/os", ["linux"]),
        ("kubernetes.io/arch", ["amd64"] if gpus else _architectures(queues[0].image)),
        ("karpenter.sh/capacity-type", ["on-demand"]),  # a spot node ends 120 s after its notice
    ]
    if gpus:
        requirements.append(("karpenter.k8s.aws/instance-gpu-manufacturer", ["nvidia"]))
    taints = {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]} if gpus else {}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"labels": {NODES: nodes}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                    "requirements": [{"key": key, "operator": "In", "values": values} for key, values in requirements],
                    **taints,
                    "expireAfter": EXPIRE_AFTER,
                    "terminationGracePeriod": f"{seconds}s",
                },
            },
            "disruption": {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "5m"},
            "limits": {"nvidia.com/gpu": _most_gpus(queues)} if gpus else _limits(queues),
        },
    }


def _architectures(image: Image) -> list[str]:
    return [platform.rpartition("/")[2] for platform in image.platforms]


def _most_gpus(queues: tuple[Queue, ...]) -> str:
    """Return the GPUs of the queues' most pods. What else such a node has comes with them, many times what they ask."""
    return str(ROLLOUT * sum(queue.max_replicas * queue.gpus for queue in queues))


def _limits(queues: tuple[Queue, ...]) -> Mapping[str, str]:
    """Return what the queues' most pods request, the old and the new ones of a rollout."""
    pods = [(queue.max_replicas, queue.image.requests) for queue in queues]
    return {"cpu": total_cpu(pods, ROLLOUT), "memory": total_memory(pods, ROLLOUT)}
