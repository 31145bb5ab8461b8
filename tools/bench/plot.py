"""Draws ratios as an SVG bar chart, with the standard library alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, LEFT, RIGHT, TOP = 760, 46, 300, 60, 54
FONT = "font-family='system-ui, sans-serif'"
GOOD, OVER, PLAIN = "#2f7d5b", "#b4532a", "#4a6fa5"


@dataclass(frozen=True)
class Bar:
    """One ratio, and its aim where it has one."""

    label: str
    value: float
    aim: float | None = None

    @property
    def colour(self) -> str:
        if self.aim is None:
            return PLAIN
        return GOOD if self.value <= self.aim else OVER


def format_ratio(value: float) -> str:
    """Format a ratio with two decimals; a small one with two significant digits."""
    if not 0 < value < 0.1:  # from there on two decimals are two digits
        return f"{value:.2f}"
    return f"{value:.{1 - math.floor(math.log10(value))}f}"


def svg(title: str, bars: Sequence[Bar]) -> str:
    """Draw a bar for each ratio, with a dashed line at its aim."""
    height = TOP + ROW * len(bars) + 16
    scale = (WIDTH - LEFT - RIGHT) / max([bar.value for bar in bars] + [bar.aim or 0 for bar in bars] + [1])
    rows = "".join(_row(bar, TOP + ROW * number, scale) for number, bar in enumerate(bars))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img'>\n"
        f"<title>{escape(title)}</title>\n<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n"
        f"<text x='16' y='30' {FONT} font-size='16' fill='#222222'>{escape(title)}</text>\n{rows}</svg>\n"
    )


def _row(bar: Bar, top: int, scale: float) -> str:
    middle = top + ROW / 2
    drawn = (
        f"<text x='{LEFT - 12}' y='{middle + 5:.0f}' text-anchor='end' {FONT} font-size='13' fill='#222222'>"
        f"{escape(bar.label)}</text>\n"
        f"<rect x='{LEFT}' y='{top + 10}' width='{bar.value * scale:.1f}' height='{ROW - 20}' fill='{bar.colour}'/>\n"
        f"<text x='{LEFT + bar.value * scale + 6:.1f}' y='{middle + 5:.0f}' {FONT} font-size='13' fill='#222222'>"
        f"{format_ratio(bar.value)}</text>\n"
    )
    if bar.aim is not None:
        at = LEFT + bar.aim * scale
        drawn += (
            f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{top + 4}' y2='{top + ROW - 4}' stroke='#222222' "
            f"stroke-dasharray='4 3'><title>aim: {bar.aim:g} or less</title></line>\n"
        )
    return drawn
