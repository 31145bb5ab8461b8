"""What the namespace has before any workload: service accounts, network policies, priority classes and a quota."""

import math

from config.broker import InClusterBroker
from config.identity import role_arn
from config.quantities import total_cpu, total_memory
from config.schema import Settings
from config.tuning import BEAT_LIMITS, BEAT_REQUESTS, max_pods
from manifests import Manifest
from manifests.broker import host_and_port
from manifests.metadata import (
    BEAT,
    COMPONENT,
    INSTANCE,
    METRICS_PORT,
    REDIS,
    common_labels,
    object_meta,
    priority_class_name,
)
from queues import IMAGES, QUEUES, Image, Priority, Resources

KEDA_NAMESPACE = "keda"
API_SERVER_PORTS = (443, 6443)  # behind the Service `kubernetes`: of hosted clusters, and of others
NODE_LOCAL_DNS = "169.254.20.10/32"  # a node's DNS cache is no pod, so no selector finds it
POD_IDENTITY_AGENT = ("169.254.170.23/32", "fd00:ec2::23/128")  # on each node; it serves one family, or both
INSTANCE_METADATA_IPV6 = "fd00:ec2::254/128"
METADATA_PORT = 80
INSTANCE_METADATA = "169.254.0.0/16"  # the node's own credentials are none of a task's business
DESCRIPTIONS = {
    Priority.LATENCY: "Somebody waits for the answer within a second.",
    Priority.STANDARD: "Coordination and interactive work.",
    Priority.BATCH: "Hours-long compute that can wait for a node.",
}
REDIS_RESOURCES = (Resources("100m", "256Mi"), Resources("1", "1Gi"))


def namespace(settings: Settings) -> Manifest:
    """Return the fleet's namespace, which admits only pods of the restricted profile."""
    labels = {
        **common_labels(settings),
        **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace, "labels": labels}}


def service_account(settings: Settings, image: Image) -> Manifest:
    """Return the service account of an image's pods; with a role it may act on AWS (IRSA)."""
    metadata = object_meta(settings, image.name)
    if (arn := role_arn(settings, image)) is not None:
        metadata["annotations"] = {"eks.amazonaws.com/role-arn": arn}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def priority_classes(settings: Settings) -> list[Manifest]:
    """Return one PriorityClass for each priority, in their order."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_class_name(settings, priority), "labels": common_labels(settings)},
            "value": priority.value,
            "description": DESCRIPTIONS[priority],
        }
        for priority in Priority
    ]


def network_policies(settings: Settings) -> list[Manifest]:
    """Return the policies: no ingress or egress but what is named here."""
    policies = [
        _network_policy(settings, "default-deny", {}, ingress=[], egress=[]),
        _network_policy(settings, "workers-egress", _worker_selector(), egress=_egress_rules(settings)),
    ]
    if settings.mark_busy_pods:
        ports = [_tcp_port(port) for port in API_SERVER_PORTS]
        beat = {"matchLabels": {INSTANCE: BEAT}}
        policies.append(_network_policy(settings, "beat-egress", beat, egress=[{**_anywhere(), "ports": ports}]))
    if settings.metrics.enabled:
        source = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.metrics.scrape_namespace}}
        }
        policies.append(
            _network_policy(
                settings,
                "metrics-ingress",
                _worker_selector(),
                ingress=[{"from": [source], "ports": [_tcp_port(METRICS_PORT)]}],
            )
        )
    if isinstance(settings.broker, InClusterBroker):
        keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": KEDA_NAMESPACE}}}
        rule = {"from": [{"podSelector": _worker_selector()}, keda], "ports": [_tcp_port(host_and_port(settings)[1])]}
        policies.append(_network_policy(settings, "broker-ingress", {"matchLabels": {INSTANCE: REDIS}}, ingress=[rule]))
    return policies


def _worker_selector() -> Manifest:
    return {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["worker", "beat"]}]}


def _egress_rules(settings: Settings) -> list[Manifest]:
    dns = {
        "to": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
            {"ipBlock": {"cidr": NODE_LOCAL_DNS}},
        ],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
    broker: Manifest = {"ports": [_tcp_port(host_and_port(settings)[1])]}
    if isinstance(settings.broker, InClusterBroker):
        broker["to"] = [{"podSelector": {"matchLabels": {INSTANCE: REDIS}}}]
    rules: list[Manifest] = [dns, broker, {**_anywhere(), "ports": [_tcp_port(443)]}]
    if settings.tracing:
        rules.append(_collector_rule(int(settings.tracing.endpoint.rsplit(":", 1)[1])))
    if settings.identity and settings.identity.pod_identity_cluster:
        agents = [{"ipBlock": {"cidr": address}} for address in POD_IDENTITY_AGENT]
        rules.append({"to": agents, "ports": [_tcp_port(80)]})
    rules += [
        {"to": [{"ipBlock": {"cidr": other.cidr}}], "ports": [_tcp_port(port) for port in other.ports]}
        for other in settings.egress
    ]
    return rules


def _collector_rule(port: int) -> Manifest:
    """Return the rule to whatever collects traces. Port 80 is the node's credentials' too, which pods may not ask."""
    return {"ports": [_tcp_port(port)], **(_anywhere() if port == METADATA_PORT else {})}


def _anywhere() -> Manifest:
    """Return every address but those of the node's own credentials."""
    return {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": [INSTANCE_METADATA]}},
            {"ipBlock": {"cidr": "::/0", "except": [INSTANCE_METADATA_IPV6]}},
        ]
    }


def _network_policy(settings: Settings, name: str, pods: Manifest, **rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": object_meta(settings, name),
        "spec": {"podSelector": pods, "policyTypes": [direction.capitalize() for direction in rules], **rules},
    }


def _tcp_port(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


def resource_quota(settings: Settings) -> Manifest:
    """Return a guard against runaways: the catalogue's most pods, times the stack's headroom.

    Pods in their grace period still count, so a rollout of hour-long tasks has the old and the new pods at once. It
    follows the catalogue, not the stack's tuning, so that tuning one queue changes that queue alone.
    """
    pods = [
        (max_pods(queue, settings.gpu), image.requests, image.limits) for image in IMAGES for queue in QUEUES.of(image)
    ]
    pods += [(1, BEAT_REQUESTS, BEAT_LIMITS), (1, *REDIS_RESOURCES)]
    requests = [(count, requested) for count, requested, _ in pods]
    limits = [(count, limit) for count, _, limit in pods]
    headroom = settings.quota.headroom
    hard = {
        "pods": str(math.ceil(headroom * sum(count for count, _, _ in pods))),
        "requests.cpu": total_cpu(requests, headroom),
        "requests.memory": total_memory(requests, headroom),
        "limits.cpu": total_cpu(limits, headroom),
        "limits.memory": total_memory(limits, headroom),
        **(
            {f"requests.{settings.gpu.resource}": str(math.ceil(headroom * settings.gpu.count))} if settings.gpu else {}
        ),
    }
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": object_meta(settings, "alphaswarm"),
        "spec": {"hard": hard},
    }
