"""KEDA's own manifests, rendered from its sources and changed to where its servers run.

Roles, custom resources and registrations are upstream's, untouched. Outside the cluster there are no pods to
route to, so the Deployments go, the aggregated API is found by a name that leads to loopback, and the webhooks
by URL. Upstream lets a ScaledObject pass when the webhook is down; here that would make a test lie, so it fails.
"""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from common.errors import CommandError

NAMESPACE = "keda"
INSTALLED = "alphaswarm.local/installed"  # annotation of the namespace: the fingerprint of what was applied
METRICS_SERVICE = "keda-metrics-apiserver"
IMAGES = "ghcr.io/kedacore/"
Manifest = dict[str, Any]

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 0.7 MB: ten times faster in C


def render(kubectl: Path, config: Path) -> list[Manifest]:
    """Return what `kubectl apply -k config/default` would apply."""
    folder = config / "default"
    if not (folder / "kustomization.yaml").is_file():
        raise CommandError(
            f"KEDA's manifests are not in {config}: it has no default/kustomization.yaml. "
            "Delete that folder and run `make up` again, so that KEDA is fetched anew."
        )
    made = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60)
    if made.returncode:
        raise CommandError(f"KEDA's manifests in {folder} do not render: {made.stderr.strip()}")
    return [manifest for manifest in yaml.load_all(made.stdout, _Loader) if manifest]


def for_loopback(manifests: Sequence[Manifest], *, adapter: int, webhooks: int, authority: str) -> list[Manifest]:
    """Return the manifests for servers on loopback at these ports; `authority` is their CA as base64."""
    return [*_for_loopback(manifests, adapter, webhooks, authority)]


def namespace_with_fingerprint(manifests: Sequence[Manifest], value: str) -> Manifest:
    """KEDA's namespace with the annotation that says which manifests are in."""
    namespace = next(manifest for manifest in manifests if manifest["kind"] == "Namespace")
    return {**namespace, "metadata": {**namespace["metadata"], "annotations": {INSTALLED: value}}}


def with_release_images(manifests: Sequence[Manifest], version: str) -> list[Manifest]:
    """Return the manifests with images of the release: the sources name the moving tag `main`."""
    return [cast("Manifest", _released(manifest, version)) for manifest in manifests]


def fingerprint(config: Path, *facts: object) -> str:
    """Return what the applied manifests follow from: KEDA's files, and the facts that were put into them."""
    digest = hashlib.sha256(repr(facts).encode())
    for file in sorted(config.rglob("*.yaml")):
        digest.update(str(file.relative_to(config)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:40]


def apply(kubectl: Path, kubeconfig: Path, context: str, manifests: Sequence[Manifest]) -> None:
    """Apply on the server's side; a conflict is ours to win, since nobody else manages these objects."""
    text = yaml.dump_all(manifests, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    command: list[str | Path] = [kubectl, "--kubeconfig", kubeconfig, "--context", context]
    flags = ["apply", "--server-side", "--force-conflicts", "--field-manager=alphaswarm-local", "-f", "-"]
    done = subprocess.run([*command, *flags], input=text, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise CommandError(f"KEDA could not be installed into {context}: {done.stderr.strip()}")


def _for_loopback(manifests: Sequence[Manifest], adapter: int, webhooks: int, authority: str) -> Iterator[Manifest]:
    for manifest in manifests:
        match manifest["kind"]:
            case "Deployment" | "Service":
                continue
            case "APIService":
                service = {**manifest["spec"]["service"], "port": adapter}
                spec = {key: value for key, value in manifest["spec"].items() if key != "insecureSkipTLSVerify"}
                yield {**manifest, "spec": {**spec, "service": service, "caBundle": authority}}
                yield _metrics_service(adapter)
            case "ValidatingWebhookConfiguration":
                hooks = [_by_url(hook, webhooks, authority) for hook in manifest["webhooks"]]
                yield {**manifest, "webhooks": hooks}
            case _:
                yield manifest


def _metrics_service(port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": METRICS_SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]},
    }


def _by_url(hook: Manifest, port: int, authority: str) -> Manifest:
    path = hook["clientConfig"]["service"]["path"]
    return {
        **hook,
        "clientConfig": {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority},
        "failurePolicy": "Fail",
    }


def _released(value: object, version: str) -> object:
    match value:
        case dict():
            return {key: _released(item, version) for key, item in value.items()}
        case list():
            return [_released(item, version) for item in value]
        case str() if value.startswith(IMAGES):
            return f"{value.rpartition(':')[0]}:{version.removeprefix('v')}"
        case _:
            return value
