"""Kubeconfig files that carry their certificates inside, so that one file is all a client needs."""

import base64
from pathlib import Path

import yaml

from common.private_files import write_private
from local.cluster.pki import Pki


def write_kubeconfig(file: Path, pki: Pki, subject: str, server: str, context: str) -> Path:
    """Write how `subject` reaches `server`, under a context named `context`."""

    def embedded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    user = {
        "client-certificate-data": embedded(pki.certificate(subject)),
        "client-key-data": embedded(pki.key(subject)),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": server, "certificate-authority-data": embedded(pki.certificate("ca"))},
            }
        ],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return write_private(file, yaml.safe_dump(config, sort_keys=False))
