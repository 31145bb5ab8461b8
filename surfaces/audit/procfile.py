"""Procfiles (Heroku, Honcho, Foreman): a process a line. All of them run one application, so one image."""

import re
from collections.abc import Iterator

from surfaces.audit.model import Location, Surface, Unit
from surfaces.audit.walk import Checkout, folder_of, is_aside

NAMES = ("Procfile", "Procfile.*", "*.Procfile")


def units(checkout: Checkout) -> Iterator[Unit]:
    """Yield every process of every Procfile."""
    for path in checkout.named(*NAMES):
        surface = Surface("procfile", path, aside=is_aside(path))
        for number, line in enumerate(checkout.text(path).splitlines(), 1):
            match = re.match(r"([A-Za-z0-9_-]+):\s*(.+)", line)
            if match:
                yield Unit(surface, match[1], match[2], Location(path, number), folder=folder_of(path))
