"""Measures what the fleet's program costs, as ratios: `python -m tools.bench [--quick] [--plot]`.

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
from tools.bench.measure import Command, Measurement, Series, cpu, interleaved, program_cpu, wall
from tools.bench.plot import Bar, svg
from tools.bench.update import deployed_stack
from tools.bench.workspace import Workspace

PICTURE = Path("docs") / "bench.svg"
FLOOR_AIM, UPDATE_AIM, GROWTH_AIM = 1.2, 1.3, 1.0
QUEUES_NOW, MANY, MOST = len(QUEUES.queues), 100, 1000


@dataclass
class Report:
    """The table. Each line is printed as soon as it is known, so an interrupted run shows the lines before."""

    bars: list[Bar] = field(default_factory=list)

    def ratio(
        self, label: str, one: Sequence[Measurement], other: Sequence[Measurement], aim: float | None = None
    ) -> None:
        """Add the ratio of two commands, by processor time and by wall time."""
        value = cpu(one).median / cpu(other).median
        self._line(label, value, aim, f"wall {wall(one).median / wall(other).median:5.2f}   n {len(one)}")
        print(f"      cpu s  {cpu(one)} against {cpu(other)}")
        print(f"      wall s {wall(one)} against {wall(other)}", flush=True)

    def per_queue(self, label: str, count: int, many: Series, few: Series) -> None:
        """Add the time per queue at `count`, divided by the time per queue of today's catalogue."""
        value = (many.median / count) / (few.median / QUEUES_NOW)
        self._line(label, value, GROWTH_AIM, f"n {len(many.values)}")
        print(f"      cpu s  {many} at {count}, {few} at {QUEUES_NOW}", flush=True)

    def _line(self, label: str, value: float, aim: float | None, more: str) -> None:
        self.bars.append(Bar(label, value, aim))
        print(f"  {label:<52} cpu {value:5.2f}   {f'aim {aim:g}' if aim else '':<8} {more}")


@dataclass(frozen=True)
class Bench:
    """One run of the bench."""

    workspace: Workspace
    progress: Progress
    runs: int
    report: Report

    def all(self, *, quick: bool) -> None:
        """Measure all; `quick` leaves out the cluster and the largest catalogue."""
        self.previews()
        self.mocks()
        self.growth((MANY,) if quick else (MANY, MOST))
        if not quick:
            self.growth_on_the_engine()
            self.update()

    def previews(self) -> None:
        fleet, flat = self.workspace.fleet(), self.workspace.flat()
        programs = {"fleet": fleet, "flat": flat, "empty": self.workspace.other("empty")}
        measurements = self._measure(
            "previews of prod", {name: self.workspace.preview(folder) for name, folder in programs.items()}
        )
        self.report.ratio("preview of prod / flat program", measurements["fleet"], measurements["flat"], FLOOR_AIM)
        self.report.ratio("preview of prod / empty program", measurements["fleet"], measurements["empty"])

    def mocks(self) -> None:
        commands = {"fleet": self.workspace.fleet(), "flat": self.workspace.flat()}
        measurements = self._measure(
            "without an engine", {name: self.workspace.mocked(folder) for name, folder in commands.items()}
        )
        self.report.ratio("whole program under mocks / flat program", measurements["fleet"], measurements["flat"])

    def growth(self, counts: Sequence[int]) -> None:
        commands = {str(count): self.workspace.mocked(self.workspace.fleet(count)) for count in (QUEUES_NOW, *counts)}
        measurements = self._measure("growth without an engine", commands)
        for count in counts:
            self.report.per_queue(
                f"time per queue, {count} / {QUEUES_NOW} queues, mocks",
                count,
                program_cpu(measurements[str(count)]),
                program_cpu(measurements[str(QUEUES_NOW)]),
            )

    def growth_on_the_engine(self) -> None:
        commands = {str(count): self.workspace.preview(self.workspace.fleet(count)) for count in (QUEUES_NOW, MANY)}
        measurements = self._measure("growth on the engine", commands, runs=min(self.runs, 3))
        self.report.per_queue(
            f"time per queue, {MANY} / {QUEUES_NOW} queues, engine",
            MANY,
            cpu(measurements[str(MANY)]),
            cpu(measurements[str(QUEUES_NOW)]),
        )

    def update(self) -> None:
        with deployed_stack(self.workspace) as commands:
            measurements = self._measure("updates of local without changes", commands)
        self.report.ratio("up without changes / preview", measurements["up"], measurements["preview"], UPDATE_AIM)

    def _measure(
        self, what: str, commands: Mapping[str, Command], runs: int | None = None
    ) -> Mapping[str, Sequence[Measurement]]:
        count = runs or self.runs
        with self.progress.step(
            f"{what}: {', '.join(commands)}, {count} runs each in turns, and one that does not count"
        ):
            return interleaved({name: command.measure for name, command in commands.items()}, count)


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args()
    progress, report, began = Progress(), Report(), time.monotonic()
    quick = arguments.quick
    progress.say(
        f"Ratios of medians, commands in turns; {'1 minute' if quick else 'about 5 minutes'} on two idle cores."
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM too ends the servers of this run
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
    parser.add_argument("--runs", type=int, help="runs of each command; 5 by default, 2 with --quick")
    parser.add_argument("--plot", action="store_true", help=f"write {PICTURE} too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
