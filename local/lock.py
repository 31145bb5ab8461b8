"""One command of this checkout at a time: two `up` at once would start everything twice."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import CommandError
from common.paths import Paths, private_folder


@contextmanager
def exclusive(paths: Paths) -> Iterator[None]:
    """Hold the checkout. Raises CommandError when another command holds it; a killed one holds nothing."""
    with (private_folder(paths.run) / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another `make` command works on {paths.checkout} at this moment. Wait for it, or interrupt it."
            ) from None
        yield
