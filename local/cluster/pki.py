"""The certificates of the embedded control plane: who may talk to whom, in one table.

Two authorities, as upstream asks: one for everybody, and one only for the API server's requests to aggregated
APIs, since whoever holds a certificate of the latter may act as any user. KEDA's certificate carries the name
of its ServiceAccount, so that its own upstream roles are what is enforced although it runs outside any pod.
No certificate knows a port, so new ports need no new certificates.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from common.private_files import write_private
from local.services.certificates import KeyPair, authority, expires_soon, leaf, new_key, private_pem, public_pem

SERVICE_NETWORK = "10.96.0.0/16"
POD_NETWORK = "10.244.0.0/16"
NODE_ADDRESS = "10.250.0.1"  # where the API server listens for pods, on machines that can run them

_LOOPBACK = ("localhost", "127.0.0.1")
_API_SERVER = (
    *_LOOPBACK,
    "10.96.0.1",
    NODE_ADDRESS,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_KEDA = (
    *_LOOPBACK,
    "keda-operator.keda.svc",
    "keda-metrics-apiserver.keda.svc",
    "keda-admission-webhooks.keda.svc",
)


@dataclass(frozen=True)
class Subject:
    """One certificate: its file name, user name and groups; with `hosts` it serves as well."""

    file: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    client: bool = True


SUBJECTS = (
    Subject("etcd", "etcd", hosts=_LOOPBACK),  # a peer certificate must be able to do both
    Subject("apiserver", "kube-apiserver", hosts=_API_SERVER, client=False),
    Subject("apiserver-etcd", "kube-apiserver"),
    Subject("admin", "admin", groups=("system:masters",)),
    Subject("kcm", "system:kube-controller-manager"),
    Subject("kcm-server", "kube-controller-manager", hosts=_LOOPBACK, client=False),
    Subject(
        "keda",
        "system:serviceaccount:keda:keda-operator",
        groups=("system:serviceaccounts", "system:serviceaccounts:keda"),
        hosts=_KEDA,
    ),
)
FRONT_PROXY = Subject("front-proxy-client", "front-proxy-client")


@dataclass(frozen=True)
class Pki:
    """The files under `folder`: `<name>.crt`, `<name>.key`, `sa.key`, `sa.pub`."""

    folder: Path

    def certificate(self, name: str) -> Path:
        """Return the certificate file of a subject, `ca` and `front-proxy-ca` included."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the key file of a subject."""
        return self.folder / f"{name}.key"

    @property
    def service_account_key(self) -> Path:
        """Signs ServiceAccount tokens."""
        return self.key("sa")

    @property
    def service_account_public(self) -> Path:
        """Verifies them."""
        return self.folder / "sa.pub"

    @property
    def keda_folder(self) -> Path:
        """KEDA's `--cert-dir`, with the file names that it expects."""
        return self.folder / "keda"

    def ensure(self) -> None:
        """Make the whole set unless all of it is there and stays valid for a while; complete or not at all."""
        if self.folder.exists() and not self._stale():
            return
        partial = Pki(self.folder.with_name(self.folder.name + ".partial"))
        for leftover in (partial.folder, self.folder):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.generate()
        partial.folder.replace(self.folder)

    def generate(self) -> None:
        """Write a new set into the folder."""
        general, front = authority("alphaswarm embedded cluster"), authority("alphaswarm embedded front proxy")
        write_private(self.certificate("ca"), general.certificate_pem)
        write_private(self.certificate("front-proxy-ca"), front.certificate_pem)
        for subject in SUBJECTS:
            self._write(subject, general)
        self._write(FRONT_PROXY, front)
        signer = new_key()
        write_private(self.service_account_key, private_pem(signer))
        write_private(self.service_account_public, public_pem(signer))
        for name, source in (("ca.crt", "ca.crt"), ("tls.crt", "keda.crt"), ("tls.key", "keda.key")):
            write_private(self.keda_folder / name, (self.folder / source).read_bytes())

    def _write(self, subject: Subject, issuer: KeyPair) -> None:
        pair = leaf(issuer, subject.user, groups=subject.groups, hosts=subject.hosts, client=subject.client)
        write_private(self.certificate(subject.file), pair.certificate_pem)
        write_private(self.key(subject.file), pair.key_pem)

    def _stale(self) -> bool:
        names = ("ca", "front-proxy-ca", FRONT_PROXY.file, *(subject.file for subject in SUBJECTS))
        others = (self.service_account_key, self.service_account_public, self.keda_folder / "tls.key")
        return any(expires_soon(self.certificate(name)) for name in names) or not all(file.exists() for file in others)
