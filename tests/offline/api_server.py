"""As much of a Kubernetes API server as the plugin's calls need, to be made to fail at will."""

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass
class Cluster:
    """As much of an API server as the plugin's calls need: whole objects, one version, no defaults."""

    url: str
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=lambda: {"n"})
    warnings: list[str] = field(default_factory=list)
    refuses: tuple[int, str] | None = None
    finalizers: bool = False
    calls: list[str] = field(default_factory=list)


KINDS = {
    "/api/v1": [("ConfigMap", "configmaps", True), ("Secret", "secrets", True), ("Namespace", "namespaces", False)],
    "/apis/apps/v1": [("Deployment", "deployments", True)],
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Cluster

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for warning in self.state.warnings if self.command == "PATCH" else ():
            self.send_header("Warning", f'299 - "{warning}"')
        self.end_headers()
        self.wfile.write(text)

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        return found

    def do_GET(self) -> None:
        self.state.calls.append(f"GET {self.path}")
        if self.path == "/version":
            return self.answer(200, {})
        if kinds := KINDS.get(self.path):
            names = [{"kind": kind, "name": name, "namespaced": inside} for kind, name, inside in kinds]
            return self.answer(200, {"resources": names})
        found = self.state.objects.get(self.path)
        return self.answer(200, found) if found else self.answer(404, {"message": "not found"})

    def do_PATCH(self) -> None:
        path, _, query = self.path.partition("?")
        self.state.calls.append(f"PATCH {self.path}")
        given = self.body()
        namespace = given["metadata"].get("namespace")
        if namespace and namespace not in self.state.namespaces:
            details = {"kind": "namespaces", "name": namespace}
            return self.answer(404, {"message": f'namespaces "{namespace}" not found', "details": details})
        if self.state.refuses:
            return self.answer(self.state.refuses[0], {"message": self.state.refuses[1]})
        manager = dict(part.split("=") for part in query.split("&"))["fieldManager"]
        old = self.state.objects.get(path, {"metadata": {"uid": f"uid-{len(self.state.calls)}"}})
        managed = [{"manager": manager, "operation": "Apply"}]
        made = {**given, "metadata": {**given["metadata"], "uid": old["metadata"]["uid"], "managedFields": managed}}
        if "dryRun=All" not in query:
            self.state.objects[path] = made
        return self.answer(200, made)

    def do_DELETE(self) -> None:
        self.state.calls.append(f"DELETE {self.path}")
        self.body()
        if self.path not in self.state.objects:
            return self.answer(404, {"message": "not found"})
        if not self.state.finalizers:
            del self.state.objects[self.path]
        return self.answer(200, {})
