"""What the fleet's program costs, as ratios taken in one run: `python -m tools.bench [--quick] [--plot]`.

Nothing is asserted: a shared machine is no judge. Exit status: 0 measured, 1 could not be measured, 130 interrupted.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.exit_status import as_exit_status
from common.paths import this_checkout
from common.progress import Progress
from queues import QUEUES
from tools.bench.measure import Command, Lap, Series, body, cpu, interleaved, wall
from tools.bench.plot import Bar, svg
from tools.bench.update import standing
from tools.bench.workspace import Workspace

PICTURE = Path("docs") / "tools.bench.svg"
FLOOR_AIM, UPDATE_AIM, GROWTH_AIM = 1.2, 1.3, 1.0
AS_IT_IS, MANY, MOST = len(QUEUES.queues), 100, 1000


@dataclass
class Report:
    """The table, as it grows; it is printed line by line, so that an interrupted run has told something."""

    bars: list[Bar] = field(default_factory=list)

    def ratio(self, label: str, one: Sequence[Lap], other: Sequence[Lap], aim: float | None = None) -> None:
        """One side over the other, by processor time and by wall time."""
        value = cpu(one).median / cpu(other).median
        self._line(label, value, aim, f"wall {wall(one).median / wall(other).median:5.2f}   n {len(one)}")
        print(f"      cpu s  {cpu(one)} against {cpu(other)}")
        print(f"      wall s {wall(one)} against {wall(other)}", flush=True)

    def per_queue(self, label: str, count: int, many: Series, few: Series) -> None:
        """Time per queue at `count`, over the time per queue of the catalogue as it is."""
        value = (many.median / count) / (few.median / AS_IT_IS)
        self._line(label, value, GROWTH_AIM, f"n {len(many.values)}")
        print(f"      cpu s  {many} at {count}, {few} at {AS_IT_IS}", flush=True)

    def _line(self, label: str, value: float, aim: float | None, more: str) -> None:
        self.bars.append(Bar(label, value, aim))
        print(f"  {label:<52} cpu {value:5.2f}   {f'aim {aim:g}' if aim else '':<8} {more}")


@dataclass(frozen=True)
class Bench:
    """One run of everything."""

    workspace: Workspace
    progress: Progress
    runs: int
    report: Report

    def all(self, *, quick: bool) -> None:
        """Measure everything; `quick` leaves out the cluster and the largest catalogue."""
        self.previews()
        self.mocks()
        self.growth((MANY,) if quick else (MANY, MOST))
        if not quick:
            self.growth_on_the_engine()
            self.update()

    def previews(self) -> None:
        fleet, flat = self.workspace.fleet(), self.workspace.flat()
        programs = {"fleet": fleet, "flat": flat, "empty": self.workspace.other("empty")}
        laps = self._laps(
            "previews of prod", {name: self.workspace.preview(folder) for name, folder in programs.items()}
        )
        self.report.ratio("preview of prod / flat program", laps["fleet"], laps["flat"], FLOOR_AIM)
        self.report.ratio("preview of prod / empty program", laps["fleet"], laps["empty"])

    def mocks(self) -> None:
        sides = {"fleet": self.workspace.fleet(), "flat": self.workspace.flat()}
        laps = self._laps("without an engine", {name: self.workspace.mocked(folder) for name, folder in sides.items()})
        self.report.ratio("whole program under mocks / flat program", laps["fleet"], laps["flat"])

    def growth(self, counts: Sequence[int]) -> None:
        sides = {str(count): self.workspace.mocked(self.workspace.fleet(count)) for count in (AS_IT_IS, *counts)}
        laps = self._laps("growth without an engine", sides)
        for count in counts:
            self.report.per_queue(
                f"time per queue, {count} / {AS_IT_IS} queues, mocks",
                count,
                body(laps[str(count)]),
                body(laps[str(AS_IT_IS)]),
            )

    def growth_on_the_engine(self) -> None:
        sides = {str(count): self.workspace.preview(self.workspace.fleet(count)) for count in (AS_IT_IS, MANY)}
        laps = self._laps("growth on the engine", sides, runs=min(self.runs, 3))
        self.report.per_queue(
            f"time per queue, {MANY} / {AS_IT_IS} queues, engine", MANY, cpu(laps[str(MANY)]), cpu(laps[str(AS_IT_IS)])
        )

    def update(self) -> None:
        with standing(self.workspace) as sides:
            laps = self._laps("updates of local without changes", sides)
        self.report.ratio("up without changes / preview", laps["up"], laps["preview"], UPDATE_AIM)

    def _laps(self, what: str, sides: Mapping[str, Command], runs: int | None = None) -> Mapping[str, Sequence[Lap]]:
        count = runs or self.runs
        with self.progress.step(f"{what}: {', '.join(sides)}, {count} runs each in turns, and one that does not count"):
            return interleaved({name: side.lap for name, side in sides.items()}, count)


def main() -> int:
    """Read the command line and do it."""
    arguments = _parser().parse_args()
    progress, report, began = Progress(), Report(), time.monotonic()
    quick = arguments.quick
    progress.say(f"Ratios of medians, sides in turns; {'1 minute' if quick else 'about 5 minutes'} on two idle cores.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this run wants its servers gone too
    with (
        as_exit_status(interrupted="Interrupted; what was measured stands above."),
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        workspace = Workspace(Path(folder), progress)
        Bench(workspace, progress, arguments.runs or (2 if quick else 5), report).all(quick=quick)
        if stand_ins := workspace.engine.stand_ins:
            print(f"\n  Stand-ins, not Pulumi's releases: {', '.join(stand_ins)}")
    print(f"\n  Measured in {time.monotonic() - began:.0f} s. cpu: user and system time of all processes.")
    if arguments.plot:
        picture = this_checkout().checkout / PICTURE
        picture.write_text(svg("The fleet's program, as ratios of processor time", report.bars))
        print(f"  Drawn into {PICTURE}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="The program's cost, as ratios.")
    parser.add_argument("--quick", action="store_true", help="fewer runs, no cluster, no 1,000 queues")
    parser.add_argument("--runs", type=int, help="runs of each side; 5 unless told, 2 with --quick")
    parser.add_argument("--plot", action="store_true", help=f"write {PICTURE} too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
