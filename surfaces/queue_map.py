"""docs/queue-map.svg: the queues, and the image that drains each, as a picture."""

from collections.abc import Iterator
from html import escape
from typing import Final

from queues import IMAGES, QUEUES, Image, Queue

WIDTH: Final = 760
ROW: Final = 34  # of a queue, in the picture's units
TOP: Final = 64
LINE: Final = 20
COLOURS: Final = dict(zip((image.name for image in IMAGES), ("#2b6cb0", "#b7791f"), strict=True))
FONT: Final = "font-family='sans-serif'"
FIRST_LINE: Final = "<!-- Generated from queues.py by `make surfaces`; do not edit. -->\n"


def queue_map() -> str:
    """Return the text of queue-map.svg."""
    height = TOP + ROW * len(QUEUES.queues) + 16
    parts = [*_head(height), *(part for image in IMAGES for part in _image(image)), "</svg>\n"]
    return FIRST_LINE + "".join(parts)


def _head(height: int) -> Iterator[str]:
    yield f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img'>\n"
    yield "<title>Each queue is drained by one image</title>\n"
    yield f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n"
    for x, text in ((16, "queue"), (150, "what runs there"), (496, "at once"), (560, "image")):
        yield _text(x, 34, text, size=14, weight="bold")


def _image(image: Image) -> Iterator[str]:
    """Yield the rows of an image's queues, and beside them the image with what a pod asks for."""
    own = QUEUES.of(image)
    colour = COLOURS[image.name]
    before = [queue for other in IMAGES[: IMAGES.index(image)] for queue in QUEUES.of(other)]
    top = TOP + ROW * len(before)
    height = ROW * len(own) - 8
    lines = (
        image.name,
        f"requests {image.requests.cpu} CPU, {image.requests.memory}",
        f"limits {image.limits.cpu} CPU, {image.limits.memory}",
    )
    yield f"<rect x='556' y='{top}' width='190' height='{height}' rx='6' fill='{colour}'/>\n"
    for index, line in enumerate(lines[: max(height // LINE, 1)]):  # as many as fit beside few queues
        yield _text(568, top + 18 + LINE * index, line, size=13, fill="#ffffff")
    for index, queue in enumerate(own):
        yield from _queue(queue, top + ROW * index, colour)


def _queue(queue: Queue, top: int, colour: str) -> Iterator[str]:
    middle = top + (ROW - 8) // 2
    yield f"<rect x='12' y='{top}' width='500' height='{ROW - 8}' rx='6' fill='none' stroke='{colour}'/>\n"
    yield _text(20, middle + 5, queue.name, size=13, weight="bold")
    yield _text(150, middle + 5, queue.description, size=12)
    yield f"<line x1='512' y1='{middle}' x2='556' y2='{middle}' stroke='{colour}' stroke-width='2'/>\n"
    yield _text(526, middle - 4, str(queue.concurrency), size=11)


def _text(x: int, y: int, text: str, *, size: int, weight: str = "normal", fill: str = "#222222") -> str:
    style = f"{FONT} font-size='{size}' font-weight='{weight}' fill='{fill}'"
    return f"<text x='{x}' y='{y}' {style}>{escape(text)}</text>\n"
