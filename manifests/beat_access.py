"""What beat may do at the Kubernetes API: say which pods are busy, so that a scale-in takes idle ones first.

It lists the namespace's pods and sets their deletion cost. RBAC can say no less than "patch pods". Only beat's pod has
a token: workers, which run anybody's tasks, have none (docs/decisions/0015).
"""

from typing import Final

from config.schema import Settings
from manifests import Manifest
from manifests.metadata import BEAT, object_meta
from queues import WORKER

DIRECTORY: Final = "/var/run/secrets/alphaswarm/api"
VOLUME: Final = "api-access"
TOKEN_SECONDS: Final = 3600  # the kubelet renews it


def beat_access(settings: Settings) -> list[Manifest]:
    """Return the objects, in the order in which they are needed."""
    return [_role(settings), _role_binding(settings)]


def access_volume() -> Manifest:
    """Return the volume with token, certificate authority and namespace, as for every pod with automount."""
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return {"name": VOLUME, "projected": {"sources": sources}}


def _role(settings: Settings) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": object_meta(settings, BEAT),
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]}],
    }


def _role_binding(settings: Settings) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": object_meta(settings, BEAT),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": BEAT},
        "subjects": [{"kind": "ServiceAccount", "name": WORKER.name, "namespace": settings.namespace}],
    }
