"""One worker of a soak, behind a proxy of its own."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.tail import tail
from tools.bench.runtime.server import Server
from tools.bench.runtime.soak.proxy import Proxy
from tools.bench.runtime.workers import FLEET, command, environment

LEASE = 6  # seconds
SILENCE = LEASE + 3.0  # seconds for which a worker is stopped, cut off, or hears nothing
CONCURRENCY = 2
END_TIMEOUT = 60.0  # seconds: its tasks take a few, and a broker that hangs is given up sooner


@dataclass
class Worker:
    """A process group, and what can happen to it."""

    process: "subprocess.Popen[bytes]"
    proxy: Proxy
    log: Path
    continue_at: float | None = None  # CLOCK_MONOTONIC, while it is stopped

    @property
    def group(self) -> int:
        """Its process group."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended.

        Raises:
            ChildProcessError: it ended by itself, although nothing here asks for that.
        """
        if self.process.poll() not in (None, 0, -signal.SIGKILL):
            raise ChildProcessError(f"a worker ended with {self.process.returncode}:\n{tail(self.log.read_text(), 60)}")
        return self.process.returncode is None

    def kill(self) -> None:
        """Kill all of it, as the kernel does when memory ends, or a node when it is lost."""
        with suppress(ProcessLookupError):  # none of it is left
            os.killpg(self.group, signal.SIGKILL)
        self._end()

    def terminate(self) -> None:
        """Let it end its tasks, as a scale-in does."""
        os.kill(self.group, signal.SIGTERM)
        self._end()

    def stop(self) -> None:
        """Stop all of it for longer than its lease."""
        os.killpg(self.group, signal.SIGSTOP)
        self.continue_at = time.monotonic() + SILENCE

    def cut(self) -> None:
        """Cut it off from its broker for longer than its lease."""
        self.proxy.cut(SILENCE)

    def hang(self) -> None:
        """Let its broker not answer for longer than its lease."""
        self.proxy.hang(SILENCE)

    def go_on(self) -> None:
        """Go on, if it was stopped for long enough."""
        if self.continue_at is not None and time.monotonic() >= self.continue_at:
            os.killpg(self.group, signal.SIGCONT)
            self.continue_at = None

    def _end(self) -> None:
        try:
            self.process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            text = tail(self.log.read_text(), 60)
            raise ChildProcessError(
                f"a worker does not end, {END_TIMEOUT:.0f} s after it was told to:\n{text}"
            ) from None
        finally:
            self.proxy.close()


def start(server: Server, ledger: Path, folder: Path, skew: float) -> Worker:
    """Start a worker whose files lie in the folder, and whose wall clock is `skew` seconds ahead."""
    proxy = Proxy(server.port)
    behind_proxy = Server(proxy.port)
    settings = {
        **environment(behind_proxy, folder),
        "CELERY_APP": "tools.bench.runtime.soak.application",
        "SOAK_LEDGER": str(ledger),
        "ALPHASWARM_LEASE": str(LEASE),
        "ALPHASWARM_RESTORE_INTERVAL": "1",
        "ALPHASWARM_MAX_DELIVERIES": "1000",  # a dead letter would count as lost
    }
    prefix: list[str] = []
    if skew:
        prefix = ["faketime", "-f", f"{skew:+.0f}s"]
        settings["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *command(FLEET, CONCURRENCY)], env=settings, stdout=log, stderr=log, start_new_session=True
        )
    return Worker(process, proxy, folder / "log")
