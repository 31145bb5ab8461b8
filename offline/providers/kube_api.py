"""A client of the Kubernetes API over HTTP: server-side apply, get, delete, discovery.

Each thread has its HTTP session, since a TLS handshake takes longer than the call. A server on loopback is never
reached through a proxy. The server's messages (admission, validation, conflicts) are passed on unchanged.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from offline.providers.kube_config import Access, exec_token
from offline.providers.plugin import ProviderError
from offline.providers.values import Json

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 60.0
WARNING = re.compile(r'\b299 \S+ "((?:[^"\\]|\\.)*)"')
APPLY = "application/apply-patch+yaml"  # JSON is YAML


@dataclass(frozen=True)
class Response:
    """A response with the warnings of admission."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300

    @property
    def message(self) -> str:
        """The message of the Status object."""
        return str(self.body.get("message") or f"status {self.status}")

    @property
    def missing_namespace(self) -> bool:
        """Whether the request failed because the namespace does not exist."""
        details = self.body.get("details") or {}
        return self.status == 404 and details.get("kind") == "namespaces"


@dataclass(frozen=True)
class ApiResource:
    """A kind as discovery lists it: the plural in paths, and whether objects are in a namespace."""

    plural: str
    namespaced: bool


class UnreachableError(ProviderError):
    """No API server answers."""


class Api:
    """A client of one API server."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()
        self._lock = threading.Lock()
        self._kinds: dict[str, dict[str, ApiResource]] = {}
        self._token: str | None = None

    @property
    def server(self) -> str:
        """The server's address."""
        return self._access.server

    def get(self, path: str) -> Response:
        """Get an object or a list."""
        return self._call("GET", path)

    def apply(
        self, path: str, body: Mapping[str, Any], manager: str, *, dry_run: bool = False, force: bool = False
    ) -> Response:
        """Apply the object on the server's side.

        Args:
            path: the object's.
            body: the fields that `manager` wants to own.
            manager: the field manager.
            dry_run: do everything but write, admission included.
            force: take fields over from other managers.
        """
        query = {"fieldManager": manager, "fieldValidation": "Warn", "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        return self._call("PATCH", path, query, body, APPLY)

    def delete(self, path: str, propagation: str, uid: str | None = None) -> Response:
        """Delete the object with this UID. It may stay until its finalizers and dependents are done."""
        precondition = {"preconditions": {"uid": uid}} if uid else {}
        return self._call("DELETE", path, body={"propagationPolicy": propagation, **precondition})

    def resource(self, api_version: str, kind: str) -> ApiResource | None:
        """Look a kind up; None when the server does not have it."""
        known = self._kinds.get(api_version) or self._discover(api_version)
        return known.get(kind)

    def path(self, api_version: str, kind: str, namespace: str | None, name: str) -> str | None:
        """Return the path of an object; None when the server does not have the kind."""
        resource = self.resource(api_version, kind)
        if resource is None:
            return None
        within = f"/namespaces/{quote(namespace or 'default')}" if resource.namespaced else ""
        return f"{_root(api_version)}{within}/{resource.plural}/{quote(name)}"

    def _discover(self, api_version: str) -> dict[str, ApiResource]:
        response = self.get(_root(api_version))
        if response.status == 404:
            return {}  # not cached: the CustomResourceDefinition may be created later in the same run
        if not response.ok:
            raise ProviderError(f"The API server at {self.server} does not list {api_version}: {response.message}")
        found = {
            item["kind"]: ApiResource(item["name"], item["namespaced"])
            for item in response.body["resources"]
            if "/" not in item["name"]
        }
        with self._lock:
            self._kinds[api_version] = found
        return found

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None, content: str = ""
    ) -> Response:
        headers = {"Content-Type": content} if content else {}
        try:
            http_response = self._session().request(
                method,
                self.server + path,
                params=query,
                json=body,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            )
        except requests.exceptions.SSLError as error:
            raise ProviderError(f"The API server at {self.server} is not trusted: {_cause(error)}") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise UnreachableError(f"No Kubernetes API server answers at {self.server}: {_cause(error)}") from None
        except requests.RequestException as error:
            raise ProviderError(f"The API server at {self.server} cannot be asked: {_cause(error)}") from None
        warnings = tuple(text.replace('\\"', '"') for text in WARNING.findall(http_response.headers.get("Warning", "")))
        return Response(http_response.status_code, _body(http_response), warnings)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session

    def _new_session(self) -> requests.Session:
        session, access = requests.Session(), self._access
        session.trust_env = urlsplit(access.server).hostname not in ("127.0.0.1", "localhost", "::1")
        session.verify = access.authority
        if access.certificate:
            session.cert = access.certificate
        elif token := self._bearer_token():
            session.headers["Authorization"] = f"Bearer {token}"
        elif access.basic:
            session.auth = access.basic
        return session

    def _bearer_token(self) -> str | None:
        access = self._access
        if access.token_file:
            return Path(access.token_file).read_text().strip()
        with self._lock:
            if access.command and self._token is None:
                self._token = exec_token(access.command, access.command_env)
        return access.token or self._token


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {"message": response.text.strip()[:400] or f"status {response.status_code}"}
    return body if isinstance(body, dict) else {}


def _cause(error: Exception) -> str:
    """Return the innermost reason: the rest of the chain says nothing."""
    text = str(error)
    for known in ("Connection refused", "timed out", "Name or service not known", "certificate verify failed"):
        if known in text:
            return known.lower()
    return text.splitlines()[0][:200]
