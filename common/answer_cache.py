"""Keeps for a day whether something on the network answered: each run would wait for it anew."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.private_files import write_private

TTL_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class AnswerCache:
    """Answers by what was asked for, in one file. What cannot be read there is no answer."""

    file: Path

    def reachable(self, what: str, ask: Callable[[], bool]) -> bool:
        """Return whether `what` is reachable, and `ask` only if nobody did within the last day."""
        cached = self.get(what)
        if cached is not None:
            return cached
        answer = ask()
        self.put(what, reachable=answer)
        return answer

    def get(self, what: str) -> bool | None:
        """Return the last day's answer, None if there is none."""
        match self._read().get(what):
            case {"reachable": bool(answer), "asked": int() | float() as asked} if time.time() - asked < TTL_SECONDS:
                return answer
        return None

    def put(self, what: str, *, reachable: bool) -> None:
        """Keep an answer given now."""
        answers = {**self._read(), what: {"reachable": reachable, "asked": time.time()}}
        write_private(self.file, json.dumps(answers, indent=1, sort_keys=True))

    def _read(self) -> dict[str, Any]:
        try:
            answers = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}
