"""Measures what the images cost, as ratios: `python -m tools.bench.images [--quick | --no-cuda] [--plot]`.

Nothing is asserted: a shared machine is no judge. Exit status: 0 measured, 1 could not be measured, 130 interrupted.
"""

import argparse
import signal
import sys
import time
from dataclasses import dataclass, field, replace

from common.exit_status import as_exit_status
from common.paths import this_checkout
from common.progress import Progress
from queues import EXECUTOR, IMAGES, WORKER
from tools.bench.images import ready
from tools.bench.images.build_environment import BuildEnvironment, ImageBuild, PushResult, temporary_environment
from tools.bench.images.figures import (
    CUDA,
    FAT,
    FAT_CUDA,
    REPLACED,
    Ratio,
    fat_image_extras,
    pushed_bytes_ratio,
    rebuild_time_ratio,
    size_ratios,
    start_time_ratio,
    wheels_ratio,
)
from tools.bench.images.locked_wheels import locked_wheel_bytes
from tools.bench.plot import svg

PICTURE = "docs/bench-images.svg"
CUDA_PLATFORM = "linux/amd64"  # elsewhere PyPI's torch is for CPUs
GIGABYTES = {"quick": 6, "no-cuda": 16, "all": 45}
USUAL = {WORKER.target: "40 s", EXECUTOR.target: "90 s", FAT: "10 s", FAT_CUDA: "6 min", REPLACED: "6 min"}


@dataclass
class Bench:
    """One run. Each line is printed as soon as it is known, so an interrupted run shows the lines before."""

    environment: BuildEnvironment
    image_builds: tuple[ImageBuild, ...]
    rebuilds: int
    starts: int
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    worker: PushResult | None = None

    def builds(self) -> None:
        """Measure cold builds, then builds of changed code."""
        cold = 0.0
        for image_build in self.image_builds:
            pushed = self._push(image_build, image_build.image.target)
            cold += pushed.seconds
            self.worker = self.worker or pushed
            if image_build.image is WORKER:
                self._report(self._against_wheels(image_build, pushed))
        first = self.environment.stored()
        seconds: list[float] = []
        gained: list[int] = []
        for number in range(self.rebuilds):
            before = self.environment.stored()
            self.environment.change_code(number)
            with self.environment.progress.step(
                f"changed code, build {number + 1} of {self.rebuilds}", usual="1 s an image"
            ):
                seconds.append(sum(self.environment.push(image_build).seconds for image_build in self.image_builds))
            gained.append(self.environment.stored() - before)
        self._report(rebuild_time_ratio(cold, seconds), pushed_bytes_ratio(first, gained))

    def fat(self, *, cuda: bool) -> None:
        """Build the images that all queues would share, and compare sizes."""
        for image_build in self.image_builds:
            if image_build.image is EXECUTOR:
                self._push(ImageBuild(EXECUTOR, image_build.platform, fat_image_extras()), FAT)
        if cuda:
            with_cuda = ImageBuild(EXECUTOR, CUDA_PLATFORM, (*fat_image_extras(), CUDA), whole=True)
            self._push(with_cuda, FAT_CUDA)
            self._push(replace(with_cuda, compression="gzip"), REPLACED)
        self._report(*size_ratios(self.sizes))

    def ready(self) -> None:
        """Measure the worker's start, on this machine's architecture."""
        if self.worker is None:
            return
        with ready.worker_to_start(self.environment, self.image_builds[0], self.worker.config) as unpacked:
            what = f"workers until ready: {', '.join(ready.WORKERS)}, {self.starts} starts each in turns"
            with self.environment.progress.step(what, usual="1 min"):
                starts = unpacked.starts(self.starts)
        self._report(start_time_ratio(starts["runtime"], starts["bare"]))

    def _push(self, image_build: ImageBuild, name: str) -> PushResult:
        with self.environment.progress.step(f"{name} for {image_build.platform}", usual=USUAL[name]):
            pushed = self.environment.push(image_build)
        self.sizes[name, image_build.architecture] = pushed.size
        return pushed

    def _against_wheels(self, image_build: ImageBuild, pushed: PushResult) -> Ratio:
        application = self.environment.images / "reference_app"
        wheels = locked_wheel_bytes(application, image_build.image.extras, image_build.architecture)
        label = f"{image_build.image.target}, {image_build.architecture}"
        return wheels_ratio(label, pushed.size, pushed.base, wheels)

    def _report(self, *ratios: Ratio) -> None:
        self.ratios += ratios
        print("\n".join(ratio.line for ratio in ratios), flush=True)


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args()
    progress, began = Progress(), time.monotonic()
    kind = "quick" if arguments.quick else "no-cuda" if arguments.no_cuda else "all"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM too ends the servers of this run
    progress.say(_announcement(kind))
    with (
        as_exit_status(interrupted="Interrupted; what was measured stands above."),
        temporary_environment(progress, GIGABYTES[kind]) as environment,
    ):
        bench = Bench(environment, _image_builds(environment, quick=arguments.quick), 1 if arguments.quick else 3, 5)
        bench.builds()
        if not arguments.quick:
            bench.fat(cuda=not arguments.no_cuda)
        bench.ready()
        notes = _notes(environment)
    print("".join(f"\n  {note}" for note in (*notes, f"Measured in {(time.monotonic() - began) / 60:.0f} min.")))
    if arguments.plot:
        title = "The images: bytes, build time and start, as ratios"
        (this_checkout().checkout / PICTURE).write_text(svg(title, [ratio.bar for ratio in bench.ratios]))
        print(f"  Drawn into {PICTURE}")
    return 0


def _image_builds(environment: BuildEnvironment, *, quick: bool) -> tuple[ImageBuild, ...]:
    """List the builds. This machine's worker is the first: it is started later."""
    platforms = environment.builder.platforms
    if quick:
        return (ImageBuild(WORKER, platforms[0]),)
    return tuple(ImageBuild(image, platform) for platform in platforms for image in IMAGES)


def _announcement(kind: str) -> str:
    takes = {
        "quick": "The worker alone, for this machine: about 3 minutes on two idle cores",
        "no-cuda": "Both images for each architecture: about 9 minutes on two idle cores",
        "all": "Both images for each architecture, and one with CUDA: about 25 minutes on two idle cores",
    }[kind]
    loads = {"quick": "0.4", "no-cuda": "1.5", "all": "5"}[kind]
    return f"{takes}; loads some {loads} GB, and writes up to {GIGABYTES[kind]} GB that are deleted at the end."


def _notes(environment: BuildEnvironment) -> list[str]:
    builder = environment.builder
    return [
        "Bytes are compressed, as they lie in the registry. Cold: nothing cached, everything loaded, one by one.",
        *(["On the stand-in base of Debian packages, not on Wolfi."] if builder.on_stand_in_base else []),
        *([f"Left out, since this machine cannot have it: {builder.leave_out}."] if builder.leave_out else []),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.images", description="The images' cost, as ratios.")
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--quick", action="store_true", help="the worker alone, for this machine's architecture")
    less.add_argument("--no-cuda", action="store_true", help="without the image that has PyPI's torch (4 GB less)")
    parser.add_argument("--plot", action="store_true", help=f"write {PICTURE} too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
