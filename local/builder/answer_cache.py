"""Whether something on the network answered, remembered for a day: each `up` would wait for it anew."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.private_files import write_private

REMEMBERED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Remembered:
    """The answer in a file; what cannot be read there is no answer."""

    file: Path

    def reachable(self, what: str, ask: Callable[[], bool]) -> bool:
        """The answer about `what`, asked for unless it was within the last day."""
        kept = self._kept(what)
        if kept is not None:
            return kept
        answer = ask()
        write_private(self.file, json.dumps({"what": what, "reachable": answer, "asked": time.time()}))
        return answer

    def _kept(self, what: str) -> bool | None:
        try:
            kept = json.loads(self.file.read_text())
            fresh = time.time() - kept["asked"] < REMEMBERED_SECONDS and kept["what"] == what
            return bool(kept["reachable"]) if fresh else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
