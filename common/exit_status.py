"""How a command ends that could not do its work: one message on standard error and an exit status, never a traceback.

0 done, 1 could not be done, 2 the command line is wrong (argparse says so), 130 interrupted, as shells have it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import CommandError

FAILED, INTERRUPTED = 1, 130


@contextmanager
def as_exit_status(*, interrupted: str) -> Iterator[None]:
    """End the process when the block fails or is interrupted; `interrupted` says what becomes of its work then.

    Only what is foreseen is a message: any other exception is a mistake of ours, and its traceback is wanted.
    """
    try:
        yield
    except CommandError as error:
        _end(FAILED, str(error))
    except BrokenPipeError:
        # Who read the output has enough of it, as `head` has. Nothing may be flushed into the closed pipe at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _end(INTERRUPTED, interrupted)


def _end(status: int, message: str) -> None:
    print(f"\n{message}", file=sys.stderr)
    sys.exit(status)
