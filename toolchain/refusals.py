"""Remembers for a day what could not be fetched: a machine that may not fetch would otherwise wait at every run."""

import json
import time

from common import paths
from common.errors import CommandError
from common.private_files import write_private

_DAY = 86_400.0


class Refusals:
    """Name of what was refused to the second (since 1970) in which it was, kept in a file of the checkout's state."""

    def __init__(self, name: str) -> None:
        self._file = paths.this_checkout().state / name

    def recent(self, wanted: str) -> bool:
        """Whether it was refused within the last day."""
        return time.time() - self._read().get(wanted, 0.0) < _DAY

    def remember(self, wanted: str) -> None:
        """Keep that it was refused now."""
        kept = {**self._read(), wanted: time.time()}
        write_private(self._file, json.dumps(kept, indent=1, sort_keys=True))

    def _read(self) -> dict[str, float]:
        try:
            kept: dict[str, float] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as broken:
            raise CommandError(
                f"{self._file} is not JSON ({broken}). Delete it; it only remembers refusals."
            ) from broken
        return kept
