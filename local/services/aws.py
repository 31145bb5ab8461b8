"""AWS for the stack `local`: a moto server on loopback, which speaks the services' own protocols.

What it holds lives in memory, so repositories and roles end with the process; a stack that believes in them
is put right by `pulumi refresh`. Its account is the one moto gives everybody.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import requests

from common.errors import CommandError
from common.loopback import ANSWER_SECONDS, session
from common.paths import Paths
from common.progress import Progress
from local.ports import Ports
from local.processes import Daemon
from local.services.server import Server, ServerStatus

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Aws:
    """One emulated AWS account for this checkout, served by the moto of the running Python's environment."""

    paths: Paths
    ports: Ports

    account = ACCOUNT

    @property
    def endpoint(self) -> str:
        """The URL for every service's endpoint."""
        return f"http://127.0.0.1:{self.ports.get('aws')}"

    def start(self, progress: Progress) -> None:
        """Start it unless it runs, and wait until it answers."""
        with progress.step("emulated AWS (moto)"):
            self._server.start()

    def stop(self) -> None:
        """End it; what it held is gone."""
        self._server.stop()

    def status(self) -> ServerStatus:
        """Whether it runs, and what it uses."""
        return self._server.status()

    def reset(self) -> None:
        """Forget every resource, as a new account would."""
        try:
            answer = session().post(f"{self.endpoint}/moto-api/reset", timeout=ANSWER_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as problem:
            raise CommandError(
                f"The emulated AWS at {self.endpoint} could not be reset ({problem}). Start it with `make up`."
            ) from None

    @property
    def _server(self) -> Server:
        daemon = Daemon("aws", self.paths.run, self.paths.logs)
        # Its Flask would write a session line for each request to a terminal's colours otherwise.
        env = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "MOTO_ACCOUNT_ID": ACCOUNT}
        return Server(daemon, self.ports, ("aws",), self._command, self._answers, env)

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.ports.get("aws"))]

    def _answers(self) -> bool:
        try:
            return session().get(f"{self.endpoint}/moto-api/data.json", timeout=ANSWER_SECONDS).ok
        except requests.RequestException:
            return False
