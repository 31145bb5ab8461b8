"""Objects of an embedded API server, and what a kubelet would say of pods: there is none."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from common.loopback import ANSWER_SECONDS, session
from local.cluster.pki import Pki

Object = dict[str, Any]
NODES = ("node-1", "node-2", "node-3", "node-4")
HEARTBEAT = 10.0  # seconds
POLL = 0.1  # seconds


class Cluster:
    """One namespace of the server at `server`; every request is the administrator's."""

    def __init__(self, server: str, pki: Pki, namespace: str) -> None:
        self._server = server
        self._pki = pki
        self._namespace = namespace
        self._session = session()

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, kind: str = "") -> Object:
        """Send a request below the namespace, or to an absolute path.

        Raises:
            requests.RequestException: the server refused it, or did not answer.
        """
        base = "" if path.startswith("/") else f"/api/v1/namespaces/{self._namespace}/"
        answer = self._session.request(
            method,
            f"{self._server}{base}{path}",
            json=body,
            headers={"Content-Type": f"application/{kind or 'json'}"},
            cert=(str(self._pki.certificate("admin")), str(self._pki.key("admin"))),
            verify=str(self._pki.certificate("ca")),
            timeout=ANSWER_SECONDS,
        )
        answer.raise_for_status()
        found: Object = answer.json()
        return found

    def merge(self, path: str, body: Mapping[str, Any]) -> Object:
        """Send a merge patch."""
        return self.request("PATCH", path, body, kind="merge-patch+json")

    def pods(self, name: str) -> list[Object]:
        """Return the pods of a Deployment."""
        found: list[Object] = self.request("GET", f"pods?labelSelector=app%3D{name}")["items"]
        return found

    def deploy(self, name: str, replicas: int) -> None:
        """Create a Deployment."""
        labels = {"app": name}
        container = {"name": "worker", "image": "none"}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
        self.request("POST", self._deployments, {"metadata": {"name": name}, "spec": spec})

    def scale(self, name: str, replicas: int) -> None:
        """Scale a Deployment, as an autoscaler does."""
        self.merge(f"{self._deployments}/{name}/scale", {"spec": {"replicas": replicas}})

    def set_ready(self, pod: str, *, ready: bool) -> None:
        """Say what a readiness probe found."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = str(ready)
        conditions = [
            {"type": kind, "status": status, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
        ]
        self.merge(f"pods/{pod}/status", {"status": {"conditions": conditions}})

    def set_deletion_cost(self, pod: str, cost: int | None) -> None:
        """Annotate a pod; None removes the annotation."""
        annotation = None if cost is None else str(cost)
        self.merge(
            f"pods/{pod}", {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": annotation}}}
        )

    def delete_now(self, pod: str) -> None:
        """Let a pod that was deleted be gone."""
        with suppress(requests.HTTPError):
            self.request("DELETE", f"pods/{pod}", {"gracePeriodSeconds": 0})

    @property
    def _deployments(self) -> str:
        return f"/apis/apps/v1/namespaces/{self._namespace}/deployments"


class Kubelets:
    """Binds pods to nodes that do not exist, and says that they run; from a thread, until `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._bound = 0

    def start(self) -> None:
        """Add the nodes, and begin."""
        for name in NODES:
            self._cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        beat_at = 0.0
        while not self._stopped.wait(POLL):
            with suppress(requests.RequestException):  # a pod that is gone meanwhile
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + HEARTBEAT
                    self._beat()
                for pod in self._cluster.request("GET", "pods")["items"]:
                    self._run_pod(pod)

    def _beat(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
        for name in NODES:
            self._cluster.merge(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}})

    def _run_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if "nodeName" not in pod["spec"]:
            self._bound += 1
            target = {"apiVersion": "v1", "kind": "Node", "name": NODES[self._bound % len(NODES)]}
            self._cluster.request("POST", f"pods/{name}/binding", {"metadata": {"name": name}, "target": target})
            return
        if pod["status"].get("phase") == "Running" or "deletionTimestamp" in pod["metadata"]:
            return
        # Pods of a fleet are ready for minutes or hours, and not all for the same time.
        since = (datetime.now(UTC) - timedelta(seconds=60 * (1 + self._bound % 40))).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": since} for kind in ("Ready", "ContainersReady")
        ]
        self._cluster.merge(
            f"pods/{name}/status", {"status": {"phase": "Running", "conditions": conditions, "startTime": since}}
        )
