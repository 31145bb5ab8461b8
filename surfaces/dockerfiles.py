"""The Dockerfiles' build arguments from the catalogue: extras, directories and labels of each image.

A Dockerfile is written by hand but for the lines between FIRST and LAST. They are global arguments with their values,
so that a plain `docker build` needs none; a stage that uses one declares it again, without a value.
"""

from pathlib import Path
from typing import Final

from config.schema import BUILD_PACKAGES, DOCKERFILE
from queues import IMAGES, QUEUES, Image
from surfaces.errors import SurfaceError

FIRST: Final = "# --- From queues.py, written by `make surfaces`: do not edit down to the next line of dashes. ---"
LAST: Final = "# --- End of what is from queues.py. ---"


def dockerfiles(root: Path) -> dict[str, str]:
    """Return each Dockerfile's text, with the catalogue's lines regenerated, by path from `root`.

    Raises:
        SurfaceError: a file is missing, or does not have exactly one place for these lines.
    """
    images: dict[str, tuple[Image, ...]] = {DOCKERFILE: IMAGES}
    images |= {f"images/{image.standalone_folder}/Dockerfile": (image,) for image in IMAGES}
    return {path: _rewritten(root, path, own) for path, own in images.items()}


def _rewritten(root: Path, path: str, images: tuple[Image, ...]) -> str:
    try:
        lines = (root / path).read_bytes().decode().splitlines(keepends=True)
    except FileNotFoundError:
        raise SurfaceError(f"{path} is missing; it is written by hand but for a few lines, so restore it.") from None
    first, last = (_only(line, lines, path) for line in (FIRST, LAST))
    if any(line.upper().startswith("FROM ") for line in lines[:first]):
        raise SurfaceError(f"{path}: the line `{FIRST}` must come before the first FROM, where arguments are global.")
    if last < first:
        raise SurfaceError(f"{path}: line {last + 1}, `{LAST}`, must come after `{FIRST}`.")
    return "".join([*lines[: first + 1], *_arguments(images), *lines[last:]])


def _only(marker: str, lines: list[str], path: str) -> int:
    found = [number for number, line in enumerate(lines) if line.strip() == marker]
    if len(found) == 1:
        return found[0]
    where = f", in lines {', '.join(str(number + 1) for number in found)}" if found else ""
    raise SurfaceError(f"{path} needs the line `{marker}` once; it is there {len(found)} times{where}.")


def _arguments(images: tuple[Image, ...]) -> list[str]:
    arguments = {name: value for image in images for name, value in QUEUES.build_arguments(image).items()}
    arguments[BUILD_PACKAGES] = " ".join(QUEUES.build_packages)
    return [f'ARG {name}="{value}"\n' for name, value in arguments.items()]
