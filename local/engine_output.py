"""The engine's output for those who read it in a file: a few lines a resource, errors and warnings whole.

Without a terminal the engine prints a row for each state of each resource, and for an image each line of each build
step. Of the rows, this shows where one begins and ends and a sign of life between. Of a
failed build, it shows the steps that failed. All of it goes to a log.

    creating (3s) #8 [builder 2/3] RUN …     a row: operation, type, name, state, and what its provider said last
    Diagnostics:                             from here on, by resource, what was said to stay
        #8 1.210 E: no such package          of a failed build also every line of its log
        error: failed to solve: …
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TextIO

SIGN_OF_LIFE_SECONDS = 30.0
CLOSE_SECONDS = 5.0  # a process that the engine left behind may hold its end of the pipe
ROW = re.compile(r"^ (?P<operation>[-+~<>= ]{1,3}) +(?P<type>\S+:\S+) (?P<name>\S+) (?P<state>[a-z]+ing)\b")
UNSEEN_STATES = ("reading", "refreshing", "running")  # milliseconds, many of them, and the end is told
BUILD_STEP = re.compile(r"^\s+#(?P<step>\d+) (?P<text>.*)")


class Condenser:
    """Copies the engine's output from `source` to `log`, and the part of it that a reader needs to `out`."""

    def __init__(self, source: IO[bytes], log: Path, out: TextIO) -> None:
        self._source, self._log, self._out = source, log, out
        self._thread = threading.Thread(target=self._copy, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(CLOSE_SECONDS)

    def _copy(self) -> None:
        with self._log.open("w") as log:
            try:
                for line in condensed(self._lines(log), str(self._log)):
                    print(line, file=self._out, flush=True)
            except BrokenPipeError:  # the reader is gone, and the engine must not wait for one
                for _ in self._lines(log):
                    continue

    def _lines(self, log: TextIO) -> Iterator[str]:
        for raw in self._source:
            line = raw.decode(errors="replace").rstrip("\r\n")
            print(line, file=log, flush=True)
            yield line


def condensed(lines: Iterator[str], log: str, sign_of_life: float = SIGN_OF_LIFE_SECONDS) -> Iterator[str]:
    """Yield the lines to show of all `lines`; `log` is where the reader finds the others."""
    shown: dict[str, float] = {}
    build_log: list[str] = []
    for line in lines:
        if BUILD_STEP.match(line) or (build_log and not line.strip()):
            build_log.append(line)
            continue
        yield from failed_steps(build_log, log)
        build_log.clear()
        row = ROW.match(line)
        if row is None or _is_due(row, shown, sign_of_life):
            yield line.rstrip()
    yield from failed_steps(build_log, log)


def failed_steps(build_log: Sequence[str], log: str) -> Iterator[str]:
    """Of a build's log, the lines of the steps that failed, and a line that counts the others."""
    steps = [(found["step"], found["text"], line) for line in build_log if (found := BUILD_STEP.match(line))]
    failed = {step for step, text, _ in steps if text.startswith("ERROR")}
    kept = [line for step, _, line in steps if step in failed]
    if left_out := len(steps) - len(kept):
        yield f"    ({left_out} lines of the build are left out here and stand in {log})"
    yield from kept


def _is_due(row: re.Match[str], shown: dict[str, float], sign_of_life: float) -> bool:
    """Whether an unfinished row is new, or the last one of its resource was shown long ago."""
    if row["state"] in UNSEEN_STATES:
        return False
    key, now = f"{row['type']} {row['name']} {row['state']}", time.monotonic()
    if key in shown and now - shown[key] < sign_of_life:
        return False
    shown[key] = now
    return True
