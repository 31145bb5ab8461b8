"""Speaks the Kubernetes API server's own HTTP: apply, read, delete, and what kinds there are.

One HTTP session a thread, since a TLS handshake costs more than the call. A loopback server is never asked through
a proxy. The server's own sentences (admission, validation, conflicts) are passed on as they are.
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
from offline.providers.plugin import PluginError
from offline.providers.values import Json

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 60.0
WARNING = re.compile(r'\b299 \S+ "((?:[^"\\]|\\.)*)"')
APPLY = "application/apply-patch+yaml"  # JSON is YAML


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its body, and the warnings admission gave."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the server did as asked."""
        return self.status < 300

    @property
    def message(self) -> str:
        """The server's own sentence."""
        return str(self.body.get("message") or f"status {self.status}")

    @property
    def missing_namespace(self) -> bool:
        """Whether it failed only because the namespace is not there yet."""
        details = self.body.get("details") or {}
        return self.status == 404 and details.get("kind") == "namespaces"


@dataclass(frozen=True)
class Place:
    """Where objects of one kind live: their plural, and whether each is in a namespace."""

    plural: str
    namespaced: bool


class UnreachableError(PluginError):
    """No API server answers."""


class Api:
    """One API server."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()
        self._lock = threading.Lock()
        self._kinds: dict[str, dict[str, Place]] = {}
        self._token: str | None = None

    @property
    def server(self) -> str:
        """The server's address."""
        return self._access.server

    def get(self, path: str) -> Reply:
        """Read."""
        return self._call("GET", path)

    def apply(
        self, path: str, body: Mapping[str, Any], manager: str, *, dry_run: bool = False, force: bool = False
    ) -> Reply:
        """Server-side apply as `manager`; with `dry_run` everything but the writing happens, admission included."""
        query = {"fieldManager": manager, "fieldValidation": "Warn", "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        return self._call("PATCH", path, query, body, APPLY)

    def delete(self, path: str, propagation: str, uid: str | None = None) -> Reply:
        """Ask for deletion of this very object; it may stay until its finalizers and dependents are done."""
        precondition = {"preconditions": {"uid": uid}} if uid else {}
        return self._call("DELETE", path, body={"propagationPolicy": propagation, **precondition})

    def place(self, api_version: str, kind: str) -> Place | None:
        """Where objects of this kind live, or None when the server does not know the kind."""
        known = self._kinds.get(api_version) or self._discover(api_version)
        return known.get(kind)

    def path(self, api_version: str, kind: str, namespace: str | None, name: str) -> str | None:
        """The path of one object, or None when the server does not know the kind."""
        place = self.place(api_version, kind)
        if place is None:
            return None
        within = f"/namespaces/{quote(namespace or 'default')}" if place.namespaced else ""
        return f"{_root(api_version)}{within}/{place.plural}/{quote(name)}"

    def _discover(self, api_version: str) -> dict[str, Place]:
        reply = self.get(_root(api_version))
        if reply.status == 404:
            return {}  # not kept: the definition may come later in the same run
        if not reply.ok:
            raise PluginError(f"The API server at {self.server} does not list {api_version}: {reply.message}")
        found = {
            item["kind"]: Place(item["name"], item["namespaced"])
            for item in reply.body["resources"]
            if "/" not in item["name"]
        }
        with self._lock:
            self._kinds[api_version] = found
        return found

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None, content: str = ""
    ) -> Reply:
        headers = {"Content-Type": content} if content else {}
        try:
            answer = self._session().request(
                method,
                self.server + path,
                params=query,
                json=body,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            )
        except requests.exceptions.SSLError as error:
            raise PluginError(f"The API server at {self.server} is not trusted: {_cause(error)}") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise UnreachableError(f"No Kubernetes API server answers at {self.server}: {_cause(error)}") from None
        except requests.RequestException as error:
            raise PluginError(f"The API server at {self.server} cannot be asked: {_cause(error)}") from None
        warnings = tuple(text.replace('\\"', '"') for text in WARNING.findall(answer.headers.get("Warning", "")))
        return Reply(answer.status_code, _body(answer), warnings)

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
        elif token := self._bearer():
            session.headers["Authorization"] = f"Bearer {token}"
        elif access.basic:
            session.auth = access.basic
        return session

    def _bearer(self) -> str | None:
        access = self._access
        if access.token_file:
            return Path(access.token_file).read_text().strip()
        with self._lock:
            if access.command and self._token is None:
                self._token = exec_token(access.command, access.command_env)
        return access.token or self._token


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _body(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {"message": answer.text.strip()[:400] or f"status {answer.status_code}"}
    return body if isinstance(body, dict) else {}


def _cause(error: Exception) -> str:
    """The innermost reason, which is the only part of the chain that says anything."""
    text = str(error)
    for known in ("Connection refused", "timed out", "Name or service not known", "certificate verify failed"):
        if known in text:
            return known.lower()
    return text.splitlines()[0][:200]
