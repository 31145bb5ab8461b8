"""The default cluster: a control plane and KEDA as processes of this machine, without root or containers.

Starting is idempotent and may be cut short anywhere: each part is left alone when it runs as it should, and
is started when it does not. Stopping kills: a polite end takes 19 s, and etcd's log survives a kill.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.paths import Paths, private_folder
from common.progress import Progress
from local.cluster.control_plane import CONTEXT, ControlPlane, ControlPlaneTools
from local.cluster.keda import Keda
from local.ports import Ports
from local.services.server import Server, ServerStatus


@dataclass(frozen=True)
class EmbeddedCluster:
    """etcd, API server, controllers and KEDA of one checkout."""

    paths: Paths
    ports: Ports
    tools: ControlPlaneTools

    context = CONTEXT
    runs_pods = False
    owned = True

    @property
    def kubeconfig(self) -> Path:
        """The administrator's file."""
        return self._plane.kubeconfig

    def start(self, progress: Progress) -> None:
        """Start what is not running, and wait until admission and scaling work."""
        plane = self._plane
        with progress.step("certificates"):
            private_folder(plane.folder)
            plane.pki.ensure()
        with progress.step("Kubernetes API (etcd, kube-apiserver)", usual="4 s"):
            self._start_store()
            plane.api_server.start()
            plane.write_kubeconfigs()
        with (
            progress.step("Kubernetes controllers and KEDA", usual="4 s"),
            ThreadPoolExecutor(1) as beside,
        ):
            controllers = beside.submit(plane.controllers.start)
            self._keda.start()
            controllers.result()

    def stop(self, progress: Progress, *, delete_data: bool = False) -> None:
        """Kill the servers, those that write first; with `delete_data` every object and certificate goes too."""
        with progress.step("ending the cluster"):
            for server in reversed(self._servers):
                server.stop()
            if delete_data:
                for folder in (self._plane.data, self._plane.folder):
                    shutil.rmtree(folder, ignore_errors=True)
                self.kubeconfig.unlink(missing_ok=True)

    def status(self) -> tuple[ServerStatus, ...]:
        """One row a process."""
        return tuple(server.status() for server in self._servers)

    def _start_store(self) -> None:
        try:
            self._plane.etcd.start()
        except CommandError as problem:
            raise CommandError(
                f"{problem}\nIf it complains about its data (a power cut may damage it), "
                "`make down` deletes them and `make up` begins anew."
            ) from None

    @property
    def _plane(self) -> ControlPlane:
        return ControlPlane(self.paths, self.ports, self.tools)

    @property
    def _keda(self) -> Keda:
        return Keda(self._plane)

    @property
    def _servers(self) -> tuple[Server, ...]:
        plane = self._plane
        return (plane.etcd, plane.api_server, plane.controllers, *self._keda.servers)
