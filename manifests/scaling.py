"""How many pods a workload gets.

Demand is waiting plus running tasks; the autoscaler divides it by the tasks a pod runs at once. Waiting alone reads
zero the moment the last task starts, and removes the pod that runs it. Running tasks are the fields of the queue's own
`unacked` hash: KEDA's redis scaler takes a hash's length when the key holds one. A message with a priority waits in a
list of its own, so each list has a trigger. Triggers without a formula would give the greatest, not the sum.

Two numbers that beat keeps in Redis may change that, as a stack says. A session of an exchange sets a floor: what the
queue's work asks for beyond it counts all the same. A promised wait lets tasks wait for a slot as far as they can keep
it: of all that wait and run each counts for its share of a slot, and no fewer than run. A share that is missing is 100.

Units: thresholds are tasks, intervals seconds.
"""

from collections.abc import Mapping

from config.schema import Settings
from config.tuning import worker_options
from manifests import Manifest
from manifests.broker import scaler_address, scaler_authentication
from manifests.metadata import label_selector, object_meta
from manifests.workload import Workload
from queues import Queue, ScaleDown

RUNNING = "running"
SHARE = "share"  # per cent of a slot
FLOOR = "sessionPods"  # `floor` is a function in formulas
CPU_UTILIZATION = 70  # per cent of the request


def scaled_object(settings: Settings, queue: Queue) -> Manifest:
    """Return KEDA's ScaledObject of a queue's Deployment.

    It has no fallback, which would hide an outage of Redis and change nothing.
    """
    spec: Manifest = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": queue.deployment},
        "minReplicaCount": queue.min_replicas,
        "maxReplicaCount": queue.max_replicas,
        **_scale_to_zero_intervals(queue),
        "advanced": {
            "horizontalPodAutoscalerConfig": {"behavior": behavior(queue.scale_down)},
            "scalingModifiers": {
                "formula": formula(queue),
                "target": str(queue.concurrency),
                "activationTarget": "0",
                "metricType": "AverageValue",
            },
        },
        "triggers": [_redis_trigger(settings, name, key) for name, key in trigger_keys(queue).items()],
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": object_meta(settings, queue.deployment),
        "spec": spec,
    }


def trigger_keys(queue: Queue) -> Mapping[str, str]:
    """Return the Redis keys whose lengths the formula reads, by the names of their triggers."""
    share = {SHARE: queue.share_key} if queue.target_wait else {}
    floor = {FLOOR: queue.floor_key} if queue.sessions else {}
    return {**demand_keys(queue), **share, **floor}


def formula(queue: Queue) -> str:
    """Return how many slots a queue needs, by the names of its triggers; a slot is a task that a pod runs at once."""
    slots = " + ".join(demand_keys(queue))
    if queue.target_wait:
        slots = f"max({RUNNING}, ({slots}) * ({SHARE} > 0 ? {SHARE} : 100) / 100)"
    return f"max({slots}, {FLOOR} * {queue.concurrency})" if queue.sessions else slots


def demand_keys(queue: Queue) -> Mapping[str, str]:
    """Return the Redis keys whose lengths are added up, by the names of their triggers."""
    waiting = {f"waiting{step}" if step else "waiting": key for step, key in queue.waiting_keys.items()}
    return {**waiting, RUNNING: queue.running_key}


def _scale_to_zero_intervals(queue: Queue) -> Manifest:
    """Return both intervals; neither where there is always a pod: they do nothing there, and admission warns."""
    if queue.min_replicas > 0 or queue.polling_interval is None or queue.cooldown_period is None:
        return {}
    return {
        "pollingInterval": int(queue.polling_interval.total_seconds()),
        "cooldownPeriod": int(queue.cooldown_period.total_seconds()),
    }


def _redis_trigger(settings: Settings, name: str, key: str) -> Manifest:
    broker = settings.broker
    return {
        "type": "redis",
        "name": name,
        "metadata": {
            "address": scaler_address(settings),
            "databaseIndex": str(broker.database),
            "enableTLS": str(broker.tls).lower(),
            "listName": key,
            "listLength": "1",  # the formula's target decides; one task counts as one
            **({"username": broker.user} if broker.user else {}),
        },
        **scaler_authentication(settings),
    }


def behavior(scale_down: ScaleDown) -> Manifest:
    """Return the HPA's behavior: how fast replicas follow demand.

    The default tolerance of 10 % leaves tasks waiting (26 at two a pod stay on 12 pods), and the default policy takes
    34 s from 1 to 20 pods where 1000 % in 15 s takes 4 s.
    """
    down: Manifest = {"tolerance": "0"}
    if scale_down is ScaleDown.DISABLED:
        down["selectPolicy"] = "Disabled"
    else:
        down["stabilizationWindowSeconds"] = 300
    return {
        "scaleUp": {
            "tolerance": "0",
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 1000, "periodSeconds": 15}],
        },
        "scaleDown": down,
    }


def horizontal_pod_autoscaler(settings: Settings, workload: Workload) -> Manifest:
    """Return the HPA of the `per-image` layout. It scales by CPU, since one Deployment drains many queues."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": object_meta(settings, workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": max(workload.min_replicas, 1),
            "maxReplicas": workload.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": CPU_UTILIZATION},
                    },
                }
            ],
            "behavior": behavior(workload.scale_down),
        },
    }


def pod_disruption_budget(settings: Settings, workload: Workload) -> Manifest:
    """Return the budget: node drains evict one pod at a time, and none where a run must not be interrupted.

    Where the stack says that the pods are evictable, they are.
    """
    evictable = worker_options(settings, workload.image, workload.queues).evictable is True
    held = workload.uninterruptible and not evictable
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": object_meta(settings, workload.name),
        "spec": {
            "maxUnavailable": 0 if held else 1,
            # Workers are unready while Redis is down; the runs of an uninterruptible one go on.
            "unhealthyPodEvictionPolicy": "IfHealthyBudget" if held else "AlwaysAllow",
            "selector": label_selector(workload.name),
        },
    }
