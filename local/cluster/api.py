"""What we ask our own API server directly, as its administrator: whether things are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from common.loopback import ANSWER_SECONDS, session
from local.cluster.pki import Pki


@dataclass(frozen=True)
class Api:
    """A TLS endpoint that trusts `subject`'s certificate."""

    server: str
    pki: Pki
    subject: str = "admin"

    def ok(self, path: str) -> bool:
        """Whether the path answers 200."""
        answer = self._send("GET", path)
        return answer is not None and answer.ok

    def answers(self, path: str) -> bool:
        """Whether a server with our authority's certificate answers at all, whatever it says."""
        return self._send("GET", path) is not None

    def object(self, path: str) -> dict[str, Any] | None:
        """Return the object at the path, or None while there is none or nobody answers."""
        answer = self._send("GET", path)
        if answer is None or not answer.ok:
            return None
        found: dict[str, Any] = answer.json()
        return found

    def refusal(self, path: str, body: Mapping[str, Any]) -> str:
        """Why the server will not create the object; empty when it would, or when nobody answers."""
        answer = self._send("POST", path, body)
        return answer.text if answer is not None and not answer.ok else ""

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response | None:
        pair = (str(self.pki.certificate(self.subject)), str(self.pki.key(self.subject)))
        ca = str(self.pki.certificate("ca"))
        try:
            with session() as link:
                return link.request(method, self.server + path, json=body, cert=pair, verify=ca, timeout=ANSWER_SECONDS)
        except requests.RequestException:
            return None
