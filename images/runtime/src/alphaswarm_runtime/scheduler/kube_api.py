"""The two requests to the Kubernetes API that beat may make: list pods, and set one annotation of a pod.

With the standard library: a client for all of Kubernetes would be the largest package of the worker image. Files of
the folder are read for each request, since the kubelet renews the token. Documented in "Accessing the Kubernetes API
from a Pod"; the server's address is in every pod's environment.
"""

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

TIMEOUT = 5.0  # seconds
METADATA_ONLY = "application/json;as={};g=meta.k8s.io;v=v1"  # what a pod runs is not sent
TOKEN, CA, NAMESPACE = "token", "ca.crt", "namespace"


class ApiError(Exception):
    """The API server does not answer, or refuses."""


class KubeApi:
    """The pods of this pod's own namespace. `directory` has the files token, ca.crt and namespace."""

    def __init__(self, directory: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._directory = directory
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def annotations(self, selector: str) -> dict[str, Mapping[str, str]]:
        """Return the annotations of each pod that a label selector finds, by the pod's name.

        Raises:
            ApiError: the server does not answer, or refuses.
        """
        found = self._request("GET", "PartialObjectMetadataList", f"?{urlencode({'labelSelector': selector})}")
        pods = (item["metadata"] for item in found["items"])
        return {pod["name"]: pod.get("annotations", {}) for pod in pods if "deletionTimestamp" not in pod}

    def annotate(self, pod: str, annotation: str, value: str | None) -> bool:
        """Set an annotation, or remove it; False where the pod is gone.

        Raises:
            ApiError: the server does not answer, or refuses.
        """
        body = {"metadata": {"annotations": {annotation: value}}}
        try:
            self._request("PATCH", "PartialObjectMetadata", f"/{quote(pod, safe='')}", body)
        except ApiError as error:
            if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == 404:
                return False
            raise
        return True

    def _request(self, method: str, kind: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            namespace = self._read(NAMESPACE)
            request = urllib.request.Request(  # noqa: S310 https always
                f"{self._server}/api/v1/namespaces/{namespace}/pods{path}",
                data=None if body is None else json.dumps(body).encode(),
                method=method,
                headers={
                    "Authorization": f"Bearer {self._read(TOKEN)}",
                    "Content-Type": "application/merge-patch+json",
                    "Accept": METADATA_ONLY.format(kind),
                },
            )
            context = ssl.create_default_context(cafile=str(self._directory / CA))
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(request, timeout=TIMEOUT) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError) as error:  # urllib's errors are OSErrors
            raise ApiError(f"the Kubernetes API: {error}") from error
        return found

    def _read(self, name: str) -> str:
        return (self._directory / name).read_text().strip()
