"""KEDA's operator, metrics adapter and admission webhooks, as processes beside the embedded API server.

They act as KEDA's own ServiceAccount under KEDA's own roles. Two of their ports have no flag for an address and
listen on every interface: the webhooks (TLS; they judge what they are sent and change nothing) and the
adapter's counters (read only). Everything else is on loopback.
"""

import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import CommandError
from local.cluster.api import Api
from local.cluster.control_plane import CONTEXT, ControlPlane
from local.cluster.keda_manifests import (
    INSTALLED,
    NAMESPACE,
    Manifest,
    apply,
    fingerprint,
    for_loopback,
    namespace_with_fingerprint,
    render,
)
from local.processes import Daemon
from local.services.server import Server

OPERATOR, ADAPTER, WEBHOOKS = "keda-operator", "keda-adapter", "keda-webhooks"
READY_WITHIN = 60.0
_API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
_WEBHOOK_CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/keda-admission"
_SCALED_OBJECT_KIND = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"
_DRY_RUN = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects?dryRun=All"


@dataclass(frozen=True)
class Keda:
    """The three servers, and what must be in the API server for them."""

    plane: ControlPlane

    def start(self) -> None:
        """Install what is missing, then start what is not running, side by side; ready when admission works."""
        for server in self.servers:
            server.replace_taken_ports()
        self._install()
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(Server.start, self.servers))
        self._install()  # anew, should a port have been taken between choosing and binding it
        self._wait(self.ready, "served by the API server", READY_WITHIN)

    def ready(self) -> bool:
        """Whether the API server serves KEDA's metrics and asks KEDA's webhooks."""
        return self._adapter_available() and self._admission_asked()

    @property
    def servers(self) -> tuple[Server, ...]:
        """The three, in the order in which they are listed."""
        return (self._operator, self._adapter, self._webhooks)

    def _port(self, name: str) -> int:
        return self.plane.ports.get(name)

    @property
    def _fingerprint(self) -> str:
        ports = (self._port(ADAPTER), self._port(WEBHOOKS))
        return fingerprint(self.plane.tools.keda_config, ports, self._authority)

    @property
    def _authority(self) -> str:
        return base64.b64encode(self.plane.pki.certificate("ca").read_bytes()).decode()

    def _installed(self) -> bool:
        namespace = self.plane.api.object(f"/api/v1/namespaces/{NAMESPACE}") or {}
        applied = namespace.get("metadata", {}).get("annotations", {}).get(INSTALLED)
        paths = (_API_SERVICE, _WEBHOOK_CONFIGURATION, _SCALED_OBJECT_KIND)
        return applied == self._fingerprint and all(self.plane.api.ok(path) for path in paths)

    def _install(self) -> None:
        if self._installed():
            return
        tools, wanted = self.plane.tools, self._fingerprint
        manifests = for_loopback(
            render(tools.kubectl, tools.keda_config),
            adapter=self._port(ADAPTER),
            webhooks=self._port(WEBHOOKS),
            authority=self._authority,
        )
        put = partial(apply, tools.kubectl, self.plane.kubeconfig, CONTEXT)
        put(manifests)
        # Last: an installation cut short is not taken for a whole one.
        put([namespace_with_fingerprint(manifests, wanted)])
        # KEDA's webhooks end at once when a kind that they watch is not listed yet.
        definitions = [manifest for manifest in manifests if manifest["kind"] == "CustomResourceDefinition"]
        self._wait(lambda: all(map(self._is_served, definitions)), "known to the API server", READY_WITHIN)

    def _is_served(self, definition: Manifest) -> bool:
        spec = definition["spec"]
        groups = (self.plane.api.object(f"/apis/{spec['group']}/{version['name']}") for version in spec["versions"])
        return all(
            spec["names"]["plural"] in {one["name"] for one in (group or {}).get("resources", ())} for group in groups
        )

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = ", ".join(str(server.daemon.log) for server in (self.plane.api_server, *self.servers))
                raise CommandError(f"KEDA was not {what} within {seconds:.0f} s. Look into {logs}.")
            time.sleep(0.05)

    def _adapter_available(self) -> bool:
        service = self.plane.api.object(_API_SERVICE) or {}
        conditions: list[dict[str, Any]] = service.get("status", {}).get("conditions", [])
        return any(entry["type"] == "Available" and entry["status"] == "True" for entry in conditions)

    def _admission_asked(self) -> bool:
        """Whether a ScaledObject that only KEDA can tell is wrong is refused by KEDA."""
        return "denied the request" in self.plane.api.refusal(_DRY_RUN, _WRONG)

    @property
    def _operator(self) -> Server:
        ports = ("keda-operator-grpc", "keda-operator-metrics", "keda-operator-health")
        return self._server(OPERATOR, ports, self._operator_command, self._healthy(ports[2]))

    @property
    def _adapter(self) -> Server:
        ports = (ADAPTER, "keda-adapter-metrics")
        return self._server(ADAPTER, ports, self._adapter_command, self._serves(ADAPTER, "/readyz"))

    @property
    def _webhooks(self) -> Server:
        ports = (WEBHOOKS, "keda-webhooks-metrics", "keda-webhooks-health")
        return self._server(WEBHOOKS, ports, self._webhooks_command, self._serves(WEBHOOKS, "/"))

    def _server(
        self, name: str, ports: tuple[str, ...], command: Callable[[], list[str | Path]], ready: Callable[[], bool]
    ) -> Server:
        plane, config = self.plane, self.plane.kubeconfig_of("keda")
        daemon = Daemon(name, plane.paths.run, plane.paths.logs)
        env = {
            "KUBECONFIG": str(config),
            "WATCH_NAMESPACE": "",
            "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
            "POD_NAMESPACE": NAMESPACE,
        }
        reads = (config, plane.pki.keda_folder / "tls.crt")
        return Server(daemon, plane.ports, ports, command, ready, env, reads)

    def _operator_command(self) -> list[str | Path]:
        return [
            self.plane.tools.keda_operator,
            "--leader-elect=false",
            "--enable-cert-rotation=false",
            f"--cert-dir={self.plane.pki.keda_folder}",
            f"--metrics-service-bind-address={self._address('keda-operator-grpc')}",
            f"--metrics-bind-address={self._address('keda-operator-metrics')}",
            f"--health-probe-bind-address={self._address('keda-operator-health')}",
        ]

    def _adapter_command(self) -> list[str | Path]:
        folder, config = self.plane.pki.keda_folder, self.plane.kubeconfig_of("keda")
        return [
            self.plane.tools.keda_adapter,
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port(ADAPTER)}",
            f"--port={self._port('keda-adapter-metrics')}",
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder / 'tls.crt'}",
            f"--tls-private-key-file={folder / 'tls.key'}",
            f"--client-ca-file={folder / 'ca.crt'}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--lister-kubeconfig={config}",
            f"--metrics-service-address=localhost:{self._port('keda-operator-grpc')}",
        ]

    def _webhooks_command(self) -> list[str | Path]:
        return [
            self.plane.tools.keda_webhooks,
            f"--port={self._port(WEBHOOKS)}",
            f"--cert-dir={self.plane.pki.keda_folder}",
            f"--metrics-bind-address={self._address('keda-webhooks-metrics')}",
            f"--health-probe-bind-address={self._address('keda-webhooks-health')}",
        ]

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self._port(name)}"

    def _serves(self, name: str, path: str) -> Callable[[], bool]:
        return lambda: Api(f"https://{self._address(name)}", self.plane.pki).answers(path)

    def _healthy(self, name: str) -> Callable[[], bool]:
        return lambda: Api(f"http://{self._address(name)}", self.plane.pki).ok("/readyz")


_WRONG = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "is-admission-asked", "namespace": NAMESPACE},
    "spec": {
        "scaleTargetRef": {"name": "nothing"},
        "advanced": {"scalingModifiers": {"formula": "nobody + nothing", "target": "1"}},
        "triggers": [{"type": "cron", "metadata": {}}],
    },
}
