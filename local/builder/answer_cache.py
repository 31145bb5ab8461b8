"""Caches for a day whether something on the network answered: each `up` would wait for it anew."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.private_files import write_private

TTL_SECONDS = 24 * 3600


@dataclass(frozen=True)
class CachedAnswer:
    """An answer in a file; what cannot be read there is no answer."""

    file: Path

    def reachable(self, what: str, ask: Callable[[], bool]) -> bool:
        """Return whether `what` is reachable, and `ask` only if nobody did within the last day."""
        cached = self._cached(what)
        if cached is not None:
            return cached
        answer = ask()
        write_private(self.file, json.dumps({"what": what, "reachable": answer, "asked": time.time()}))
        return answer

    def _cached(self, what: str) -> bool | None:
        try:
            entry = json.loads(self.file.read_text())
            fresh = time.time() - entry["asked"] < TTL_SECONDS and entry["what"] == what
            return bool(entry["reachable"]) if fresh else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
