"""Waiting for what real servers do in their own time."""

import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds; a loaded machine, never an assertion about speed


def eventually(what: Callable[[], object], expected: object, *, pause: float = 0.2, within: float = PATIENCE) -> None:
    """Look again after `pause` seconds until it is as expected; fails with what it still is `within` seconds."""
    deadline = time.monotonic() + within
    while (found := what()) != expected:
        assert time.monotonic() < deadline, f"still {found!r}, not {expected!r}"
        time.sleep(pause)
