"""Computes the ratios from the measurements, and formats the table. Units: bytes, seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from queues import EXECUTOR, IMAGES, WORKER
from tools.bench.plot import Bar, format_ratio

SLIM_AIM, WHEELS_AIM, REBUILD_AIM, PUSHED_AIM = 0.15, 1.05, 0.05, 0.01
CUDA = "ml-torch-cuda"

Sizes = Mapping[tuple[str, str], int]
"""Compressed size by target (or fat image) and architecture."""
FAT, FAT_CUDA = "fat", "fat, CUDA"
REPLACED = "fat, CUDA, gzip"  # what the two images came from

NAMES = {
    FAT: "one image for all queues",
    FAT_CUDA: "the same with CUDA",
    REPLACED: "that packed by gzip, as before",
}
"""What a fat image is called in the table."""


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
        return (
            f"  {self.label:<48} {format_ratio(self.value):>9}   {f'aim {self.aim:g}' if self.aim else '':<8} {self.of}"
        )

    @property
    def bar(self) -> Bar:
        """The bar of the picture."""
        return Bar(self.label, self.value, self.aim)


def fat_image_extras() -> tuple[str, ...]:
    """Return the extras that an image for all queues has beside the executor's."""
    every = dict.fromkeys(extra for image in IMAGES for extra in image.extras)
    return tuple(extra for extra in every if extra not in EXECUTOR.extras)


def size_ratios(sizes: Sizes) -> list[Ratio]:
    """Divide each image's size by those of the fat images of its architecture, where they were built."""
    return [
        _size(
            f"{image.target} / {NAMES[fat]}, {architecture}",
            sizes[image.target, architecture],
            whole,
            SLIM_AIM if image is WORKER and fat == REPLACED else None,
        )
        for (fat, architecture), whole in sizes.items()
        if fat in NAMES
        for image in IMAGES
        if (image.target, architecture) in sizes
    ]


def _size(label: str, one: int, whole: int, aim: float | None) -> Ratio:
    return Ratio(label, one / whole, f"{format_bytes(one)} of {format_bytes(whole)}", aim)


def wheels_ratio(label: str, size: int, base: int, wheels: int) -> Ratio:
    """Divide an image's size by its base and the locked wheels, as they come."""
    return _size(f"{label} / base and locked wheels", size, base + wheels, WHEELS_AIM)


def rebuild_time_ratio(cold: float, again: Sequence[float]) -> Ratio:
    """Divide the median time of builds of changed code by that of the cold builds."""
    middle = median(again)
    return Ratio(
        "code-only rebuild / cold build, time",
        middle / cold,
        f"{middle:.1f} s ({min(again):.1f}..{max(again):.1f}, n {len(again)}) of {cold:.0f} s",
        REBUILD_AIM,
    )


def pushed_bytes_ratio(cold: int, again: Sequence[int]) -> Ratio:
    """Divide the median of new bytes in the registry after a change of code by those of the cold push."""
    middle = median(again)
    return Ratio(
        "code-only rebuild / cold build, bytes pushed",
        middle / cold,
        f"{format_bytes(middle)} of {format_bytes(cold)}",
        PUSHED_AIM,
    )


def start_time_ratio(ours: Sequence[float], bare: Sequence[float]) -> Ratio:
    """Divide the median time until the runtime's worker is ready by that of Celery's own."""
    least = format_ratio(min(ours) / min(bare))
    return Ratio(
        "worker ready / bare `celery worker` ready",
        median(ours) / median(bare),
        f"{median(ours):.2f} s of {median(bare):.2f} s   best of each {least}: "
        f"{min(ours):.2f} s of {min(bare):.2f} s   n {len(ours)}",
    )


def format_bytes(count: float) -> str:
    """Format a size in decimal units."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{2 if unit == 'GB' else 0}f} {unit}"
    return f"{count:.0f} B"
