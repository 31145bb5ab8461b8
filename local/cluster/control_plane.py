"""etcd, kube-apiserver and kube-controller-manager of one checkout, on loopback with free ports.

Everything is the released Kubernetes; only what needs a node is absent. Objects are admitted, controllers act
and autoscalers scale, while pods stay Pending. What the flags keep away from: tokens and kubelets (there are
none), a minute between autoscaler decisions (5 s here), and etcd waiting for the disk.
"""

import platform
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.paths import Paths, private_folder
from local.cluster.api import Api
from local.cluster.kubeconfig import write_kubeconfig
from local.cluster.pki import POD_NETWORK, SERVICE_NETWORK, Pki
from local.ports import Ports
from local.processes import Daemon
from local.services.server import Server

CONTEXT = "alphaswarm-embedded"
ETCD, ETCD_PEER, API_SERVER, CONTROLLERS = "etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager"

# A named list starts in 2 s, all controllers in 5 s. The claim and volume protection controllers remove the
# finalizers that admission puts on every claim: without them a claim is never gone.
CONTROLLER_NAMES = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "garbage-collector-controller",
    "pod-garbage-collector-controller",
    "endpointslice-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "disruption-controller",
    "job-controller",
    "cronjob-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "ttl-after-finished-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
)


@dataclass(frozen=True)
class ControlPlaneTools:
    """The programs of the embedded cluster. `keda_config` is the folder `config/` of KEDA's sources."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    keda_operator: Path
    keda_adapter: Path
    keda_webhooks: Path
    keda_config: Path


@dataclass(frozen=True)
class ControlPlane:
    """The three servers and the files they read."""

    paths: Paths
    ports: Ports
    tools: ControlPlaneTools

    @property
    def pki(self) -> Pki:
        """Its certificates."""
        return Pki(self.folder / "pki")

    @property
    def folder(self) -> Path:
        """Certificates and kubeconfig files of the servers."""
        return self.paths.run / "cluster"

    @property
    def data(self) -> Path:
        """etcd's data: every object of the cluster."""
        return self.paths.state / "state" / "etcd"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.ports.get(API_SERVER)}"

    @property
    def api(self) -> Api:
        """The API server, asked as administrator."""
        return Api(self.server, self.pki)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file, with the context `alphaswarm-embedded`."""
        return self.paths.state / "kubeconfig"

    def write_kubeconfigs(self) -> None:
        """Bring every kubeconfig file up to the API server's present port."""
        write_kubeconfig(self.kubeconfig, self.pki, "admin", self.server, CONTEXT)
        for subject in ("kcm", "keda"):
            write_kubeconfig(self.kubeconfig_of(subject), self.pki, subject, self.server, CONTEXT)

    def kubeconfig_of(self, subject: str) -> Path:
        """Return the kubeconfig file of one of the servers."""
        return self.folder / f"{subject}.kubeconfig"

    @property
    def etcd(self) -> Server:
        """The store."""
        return Server(
            self._daemon(ETCD),
            self.ports,
            (ETCD, ETCD_PEER),
            self._etcd_command,
            lambda: Api(self._etcd_url, self.pki, "apiserver-etcd").ok("/health"),
            env={"ETCD_UNSUPPORTED_ARCH": platform.machine().replace("aarch64", "arm64")},  # 3.4 asks for it on arm64
            reads=(self.pki.certificate("etcd"),),
        )

    @property
    def api_server(self) -> Server:
        """The API."""
        return Server(
            self._daemon(API_SERVER),
            self.ports,
            (API_SERVER,),
            self._api_server_command,
            partial(self._ok, "/readyz"),
            reads=(self.pki.certificate("apiserver"),),
        )

    @property
    def controllers(self) -> Server:
        """The controllers."""
        return Server(
            self._daemon(CONTROLLERS),
            self.ports,
            (CONTROLLERS,),
            self._controllers_command,
            self._controllers_ready,
            reads=(self.pki.certificate("kcm"), self.kubeconfig_of("kcm")),
        )

    @property
    def _etcd_url(self) -> str:
        return f"https://127.0.0.1:{self.ports.get(ETCD)}"

    def _daemon(self, name: str) -> Daemon:
        return Daemon(name, self.paths.run, self.paths.logs)

    def _ok(self, path: str) -> bool:
        return self.api.ok(path)

    def _controllers_ready(self) -> bool:
        health = Api(f"https://127.0.0.1:{self.ports.get(CONTROLLERS)}", self.pki)
        return health.ok("/healthz") and self.api.ok("/api/v1/namespaces/default/serviceaccounts/default")

    def _etcd_command(self) -> list[str | Path]:
        peer = f"https://127.0.0.1:{self.ports.get(ETCD_PEER)}"
        tls = {
            f"{prefix}{flag}": value
            for prefix in ("", "peer-")
            for flag, value in (
                ("trusted-ca-file", self.pki.certificate("ca")),
                ("cert-file", self.pki.certificate("etcd")),
                ("key-file", self.pki.key("etcd")),
                ("client-cert-auth", "true"),
            )
        }
        flags: dict[str, object] = {
            "name": "alphaswarm",
            "data-dir": private_folder(self.data),
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"alphaswarm={peer}",
            "unsafe-no-fsync": "true",  # a laptop's data: a power cut may cost it, `make up` makes it anew
            **tls,
        }
        return [self.tools.etcd, *_flags(flags)]

    def _api_server_command(self) -> list[str | Path]:
        self.write_kubeconfigs()
        crt, key = self.pki.certificate, self.pki.key
        flags: dict[str, object] = {
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": self.ports.get(API_SERVER),
            "endpoint-reconciler-type": "none",
            "etcd-servers": self._etcd_url,
            "etcd-cafile": crt("ca"),
            "etcd-certfile": crt("apiserver-etcd"),
            "etcd-keyfile": key("apiserver-etcd"),
            "tls-cert-file": crt("apiserver"),
            "tls-private-key-file": key("apiserver"),
            "client-ca-file": crt("ca"),
            "anonymous-auth": "false",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-cluster-ip-range": SERVICE_NETWORK,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": self.pki.service_account_public,
            "service-account-signing-key-file": self.pki.service_account_key,
            "requestheader-client-ca-file": crt("front-proxy-ca"),
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": crt("front-proxy-client"),
            "proxy-client-key-file": key("front-proxy-client"),
            "profiling": "false",
        }
        return [self.tools.kube_apiserver, *_flags(flags)]

    def _controllers_command(self) -> list[str | Path]:
        config = self.kubeconfig_of("kcm")
        flags: dict[str, object] = {
            "kubeconfig": config,
            "authentication-kubeconfig": config,
            "authorization-kubeconfig": config,
            "bind-address": "127.0.0.1",
            "secure-port": self.ports.get(CONTROLLERS),
            "tls-cert-file": self.pki.certificate("kcm-server"),
            "tls-private-key-file": self.pki.key("kcm-server"),
            "leader-elect": "false",
            "use-service-account-credentials": "true",  # KEDA's roles name the autoscaler's ServiceAccount
            "service-account-private-key-file": self.pki.service_account_key,
            "root-ca-file": self.pki.certificate("ca"),
            "cluster-cidr": POD_NETWORK,
            "allocate-node-cidrs": "true",
            "service-cluster-ip-range": SERVICE_NETWORK,
            "horizontal-pod-autoscaler-sync-period": "5s",
            "profiling": "false",
            "controllers": ",".join(CONTROLLER_NAMES),
        }
        return [self.tools.kube_controller_manager, *_flags(flags)]


def _flags(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]
