"""Progress on standard error: one line when a step begins, one when it ends, a sign of life between."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

HEARTBEAT_SECONDS = 15.0


@dataclass
class Progress:
    """Prints steps to `out`; a step that outlasts the heartbeat says so, with its time so far."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    heartbeat: float = HEARTBEAT_SECONDS

    def say(self, line: str) -> None:
        """Print one line at once."""
        self.out.write(f"{line}\n")  # in one piece, since several threads have something to say
        self.out.flush()

    @contextmanager
    def step(self, what: str, usual: str = "") -> Iterator[None]:
        """Announce `what` with its `usual` time, and report how long it took or that it failed."""
        self.say(f"  ... {what}" + (f" (usually {usual})" if usual else ""))
        started, done = time.monotonic(), threading.Event()
        beat = threading.Thread(target=self._beat, args=(what, started, done), daemon=True)
        beat.start()
        try:
            yield
        except BaseException:
            self.say(f"  XX  {what}: not finished after {time.monotonic() - started:.1f} s")
            raise
        else:
            self.say(f"  ok  {what} ({time.monotonic() - started:.1f} s)")
        finally:
            done.set()
            beat.join()

    def _beat(self, what: str, started: float, done: threading.Event) -> None:
        while not done.wait(self.heartbeat):
            self.say(f"      {what}: {time.monotonic() - started:.0f} s so far")
