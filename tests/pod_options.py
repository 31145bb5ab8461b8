"""Every option of pods, as a stack's file writes them, for the tests that read, refuse, render and apply them."""

from typing import Any

from config.pods import BeatOptions


def pod_options(scope: str) -> dict[str, Any]:
    """Return every option, with names of the scope's own where two scopes meet in one pod."""
    amounts = {"cpu": "500m", "memory": "1Gi", "ephemeralStorage": "2Gi"}
    container = {
        "image": "registry.example.com/proxy:1",
        "resources": {side: {"cpu": "100m", "memory": "64Mi"} for side in ("requests", "limits")},
    }
    options = {
        "env": {f"{scope.upper()}_HOST": "db.example.com", "NUMBA_NUM_THREADS": "1"},
        "envValueFrom": {
            f"{scope.upper()}_URL": {"secret": "app", "key": "url", "optional": True},
            f"{scope.upper()}_MODE": {"configMap": "app", "key": "mode"},
            f"{scope.upper()}_NODE": {"field": "status.hostIP"},
        },
        "envFrom": [{"secret": "app", "prefix": "APP_", "optional": True}, {"configMap": "app"}],
        "labels": {"team.example.com/name": "quant"},
        "annotations": {"team.example.com/pager": "7"},
        "imagePullSecrets": [f"{scope}-pull"],
        "hostAliases": [{"ip": "10.0.0.9", "hostnames": [f"{scope}.example.com"]}],
        "volumes": [{"name": f"{scope}-ca", "secret": {"secretName": "ca"}}],
        "volumeMounts": [{"name": f"{scope}-ca", "mountPath": f"/etc/{scope}", "readOnly": True}],
        "initContainers": [{"name": f"{scope}-migrate", **container}],
        "sidecars": [{"name": f"{scope}-proxy", **container}],
        "resources": {"requests": dict(amounts), "limits": {**amounts, "cpu": "2", "memory": "4Gi"}},
        "threads": 3,
        "sharedMemory": "512Mi",
        "maxTasksPerChild": 100,
        "maxMemoryPerChild": "2Gi",
        "nodeSelector": {"team.example.com/nodes": "large"},
        "tolerations": [
            {"key": scope, "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        ],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": scope, "whenUnsatisfiable": "ScheduleAnyway"}],
        "runtimeClass": "gvisor",
        "evictable": False,
    }
    # beat runs no tasks.
    return {name: value for name, value in options.items() if scope != "beat" or name not in BeatOptions.refused}


SCOPES = ("all", "worker", "executor", "beat")
