"""Says that the disk is too small before the first gigabyte is downloaded, not after the last one fails."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from common.errors import CommandError

_MIB = 1 << 20


def check(places: Iterable[Path], needed: int) -> None:
    """Raise CommandError unless each of `places` has `needed` MiB free; a first build spreads over all of them."""
    small = [(place, free) for place in places if (free := _free(place)) < needed]
    if small:
        raise CommandError(
            f"building the missing tools takes up to {needed / 1024:.1f} GiB; "
            + "; ".join(f"{place} has {free / 1024:.1f} GiB" for place, free in small)
            + ". Free some, or point ALPHASWARM_CACHE, GOCACHE and GOMODCACHE at a larger disk."
        )


def _free(place: Path) -> int:
    """MiB free where `place` is or would be made."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free // _MIB
