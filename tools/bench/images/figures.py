"""The ratios of the images, from what was measured to a line of the table. Units: bytes, seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from queues import EXECUTOR, IMAGES, WORKER
from tools.bench.plot import Bar, shown

SLIM_AIM, REBUILD_AIM, PUSHED_AIM = 0.15, 0.05, 0.01
CUDA = "ml-torch-cuda"

Sizes = Mapping[tuple[str, str], int]
"""Compressed bytes by what was built (an image's target, or one of the fat images) and architecture."""
FAT, FAT_CUDA = "fat", "fat, CUDA"


@dataclass(frozen=True)
class Ratio:
    """One line of the table, and one bar of the picture."""

    label: str
    value: float
    of: str
    aim: float | None = None

    @property
    def line(self) -> str:
        """The line of the table."""
        return f"  {self.label:<48} {shown(self.value):>9}   {f'aim {self.aim:g}' if self.aim else '':<8} {self.of}"

    @property
    def bar(self) -> Bar:
        """The bar of the picture."""
        return Bar(self.label, self.value, self.aim)


def fat_extras() -> tuple[str, ...]:
    """What an image for every queue has beyond the executor's extras."""
    every = dict.fromkeys(extra for image in IMAGES for extra in image.extras)
    return tuple(extra for extra in every if extra not in EXECUTOR.extras)


def slimness(sizes: Sizes) -> list[Ratio]:
    """Each image against the fat images of its architecture, of those that were built."""
    return [
        _size(f"{image.target} / {_name(fat)}, {architecture}", sizes[image.target, architecture], whole, image.target)
        for (fat, architecture), whole in sizes.items()
        if fat in {FAT, FAT_CUDA}
        for image in IMAGES
        if (image.target, architecture) in sizes
    ]


def _size(label: str, one: int, whole: int, target: str) -> Ratio:
    aim = SLIM_AIM if target == WORKER.target else None
    return Ratio(label, one / whole, f"{amount(one)} of {amount(whole)}", aim)


def _name(fat: str) -> str:
    return {FAT: "one image for all queues", FAT_CUDA: "the same for GPUs too"}[fat]


def rebuilding(cold: float, again: Sequence[float]) -> Ratio:
    """Builds of changed code against the cold build."""
    middle = median(again)
    return Ratio(
        "code-only rebuild / cold build, time",
        middle / cold,
        f"{middle:.1f} s ({min(again):.1f}..{max(again):.1f}, n {len(again)}) of {cold:.0f} s",
        REBUILD_AIM,
    )


def pushing(cold: int, again: Sequence[int]) -> Ratio:
    """Bytes new in the registry after a change of code, against those of the cold push."""
    middle = median(again)
    return Ratio(
        "code-only rebuild / cold build, bytes pushed",
        middle / cold,
        f"{amount(middle)} of {amount(cold)}",
        PUSHED_AIM,
    )


def readiness(ours: Sequence[float], bare: Sequence[float]) -> Ratio:
    """Time until ready of the runtime's worker, against Celery's own."""
    least = shown(min(ours) / min(bare))
    return Ratio(
        "worker ready / bare `celery worker` ready",
        median(ours) / median(bare),
        f"{median(ours):.2f} s of {median(bare):.2f} s   best of each {least}: "
        f"{min(ours):.2f} s of {min(bare):.2f} s   n {len(ours)}",
    )


def amount(count: float) -> str:
    """Bytes for people: decimal units, as registries bill them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{2 if unit == 'GB' else 0}f} {unit}"
    return f"{count:.0f} B"
