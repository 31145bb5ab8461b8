"""What the namespace stands on: identities, who may talk to whom, who goes first, and how much all may take."""

import math

from config.identity import role_arn
from config.schema import InClusterBroker, Settings
from config.tuning import max_pods
from manifests import Manifest
from manifests.broker import host_and_port
from manifests.metadata import (
    COMPONENT,
    INSTANCE,
    METRICS_PORT,
    REDIS,
    common_labels,
    namespaced,
    priority_class,
)
from manifests.pod import BEAT_LIMITS, BEAT_REQUESTS
from queues import IMAGES, QUEUES, Image, Priority, Resources

KEDA_NAMESPACE = "keda"
NODE_LOCAL_DNS = "169.254.20.10/32"  # a node's DNS cache is no pod, so no selector finds it
INSTANCE_METADATA_IPV6 = "fd00:ec2::254/128"
INSTANCE_METADATA = "169.254.0.0/16"  # the node's own credentials are none of a task's business
DESCRIPTIONS = {
    Priority.LATENCY: "Somebody waits for the answer within a second.",
    Priority.STANDARD: "Coordination and interactive work.",
    Priority.BATCH: "Hours-long compute that can wait for a node.",
}
UNITS = {"m": 1, "": 1000}
MEMORY_MIB = {"Mi": 1, "Gi": 1024}
REDIS_RESOURCES = (Resources("100m", "256Mi"), Resources("1", "1Gi"))


def namespace(settings: Settings) -> Manifest:
    """The fleet's namespace, which admits only pods of the restricted profile."""
    labels = {
        **common_labels(settings),
        **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace, "labels": labels}}


def service_account(settings: Settings, image: Image) -> Manifest:
    """The identity of an image's pods; with a role it may act on AWS (IRSA)."""
    metadata = namespaced(settings, image.name)
    if (arn := role_arn(settings, image)) is not None:
        metadata["annotations"] = {"eks.amazonaws.com/role-arn": arn}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def priority_classes(settings: Settings) -> list[Manifest]:
    """Who gets a node first."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_class(settings, priority), "labels": common_labels(settings)},
            "value": priority.value,
            "description": DESCRIPTIONS[priority],
        }
        for priority in Priority
    ]


def network_policies(settings: Settings) -> list[Manifest]:
    """Nothing comes in or goes out but what is named here."""
    policies = [
        _policy(settings, "default-deny", {}, ingress=[], egress=[]),
        _policy(settings, "workers-egress", _workers(), egress=_egress(settings)),
    ]
    if settings.metrics.enabled:
        source = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.metrics.scrape_namespace}}
        }
        policies.append(
            _policy(
                settings, "metrics-ingress", _workers(), ingress=[{"from": [source], "ports": [_tcp(METRICS_PORT)]}]
            )
        )
    if isinstance(settings.broker, InClusterBroker):
        keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": KEDA_NAMESPACE}}}
        rule = {"from": [{"podSelector": _workers()}, keda], "ports": [_tcp(host_and_port(settings)[1])]}
        policies.append(_policy(settings, "broker-ingress", {"matchLabels": {INSTANCE: REDIS}}, ingress=[rule]))
    return policies


def _workers() -> Manifest:
    return {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["worker", "beat"]}]}


def _egress(settings: Settings) -> list[Manifest]:
    dns = {
        "to": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
            {"ipBlock": {"cidr": NODE_LOCAL_DNS}},
        ],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
    anywhere = {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": [INSTANCE_METADATA]}},
            {"ipBlock": {"cidr": "::/0", "except": [INSTANCE_METADATA_IPV6]}},
        ]
    }
    broker: Manifest = {"ports": [_tcp(host_and_port(settings)[1])]}
    if isinstance(settings.broker, InClusterBroker):
        broker["to"] = [{"podSelector": {"matchLabels": {INSTANCE: REDIS}}}]
    rules: list[Manifest] = [dns, broker, {**anywhere, "ports": [_tcp(443)]}]
    if settings.tracing:
        rules.append({"ports": [_tcp(int(settings.tracing.endpoint.rsplit(":", 1)[1]))]})
    rules += [
        {"to": [{"ipBlock": {"cidr": other.cidr}}], "ports": [_tcp(port) for port in other.ports]}
        for other in settings.egress
    ]
    return rules


def _policy(settings: Settings, name: str, pods: Manifest, **rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": namespaced(settings, name),
        "spec": {"podSelector": pods, "policyTypes": [direction.capitalize() for direction in rules], **rules},
    }


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


def resource_quota(settings: Settings) -> Manifest:
    """A guard against runaways: the catalogue at its most, times the stack's headroom.

    Pods in their grace period still count, so a rollout of hour-long tasks has the old and the new pods at once. It
    follows the catalogue, not the stack's tuning, so that tuning one queue changes that queue alone.
    """
    needs = [
        (max_pods(queue, settings.gpu), image.requests, image.limits) for image in IMAGES for queue in QUEUES.of(image)
    ]
    needs += [(1, BEAT_REQUESTS, BEAT_LIMITS), (1, *REDIS_RESOURCES)]
    times = settings.quota.headroom
    hard = {
        "pods": str(math.ceil(times * sum(pods for pods, _, _ in needs))),
        "requests.cpu": f"{math.ceil(times * sum(pods * milli_cpu(low.cpu) for pods, low, _ in needs) / 1000)}",
        "requests.memory": f"{math.ceil(times * sum(pods * mebibytes(low.memory) for pods, low, _ in needs) / 1024)}Gi",
        "limits.cpu": f"{math.ceil(times * sum(pods * milli_cpu(high.cpu) for pods, _, high in needs) / 1000)}",
        "limits.memory": f"{math.ceil(times * sum(pods * mebibytes(high.memory) for pods, _, high in needs) / 1024)}Gi",
        **({f"requests.{settings.gpu.resource}": str(math.ceil(times * settings.gpu.count))} if settings.gpu else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": namespaced(settings, "alphaswarm"),
        "spec": {"hard": hard},
    }


def milli_cpu(quantity: str) -> int:
    """Thousandths of a processor: `500m` is 500, `4` is 4000."""
    number = quantity.removesuffix("m")
    return int(number) * UNITS[quantity[len(number) :]]


def mebibytes(quantity: str) -> int:
    """MiB: `1Gi` is 1024. Raises KeyError for a unit the catalogue does not use."""
    return int(quantity[:-2]) * MEMORY_MIB[quantity[-2:]]
