"""check_application.py folder [image extra...]: says what the application lacks for an image, all of it at once.

uv names one missing extra only, and neither the image that wants it nor the setting that chose the application. A
folder of the stack's own machine was looked at before the build; what a git reference holds is first seen here.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

SETTING = "fleet:images.application"


def faults(folder: Path, image: str, extras: Sequence[str]) -> Iterator[str]:
    """What the application lacks, and what to do about it."""
    if not (folder / "uv.lock").is_file():
        yield "it has no uv.lock, from which the images install; run `uv lock` there"
    try:
        declared = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield "it has no pyproject.toml, which names its dependencies"
    except ValueError as error:  # no TOML, or no text
        yield f"its pyproject.toml is not TOML: {error}"
    else:
        yield from _extra_faults(declared, image, extras)


def _extra_faults(declared: dict[str, object], image: str, extras: Sequence[str]) -> Iterator[str]:
    project = declared.get("project")
    if not isinstance(project, dict):
        yield "its pyproject.toml has no [project] table, which uv reads"
        return
    if "optional-dependencies" in project.get("dynamic", ()):  # only its build backend knows them
        return
    there = {_normal(name) for name in project.get("optional-dependencies", ())}
    missing = [repr(extra) for extra in extras if _normal(extra) not in there]
    table = "[project.optional-dependencies]"
    if len(missing) == 1:
        yield (
            f"its pyproject.toml has no extra {missing[0]}, which {image} needs; "
            f"add it to {table}, empty if it needs no package, and run `uv lock`"
        )
    elif missing:
        yield (
            f"its pyproject.toml lacks {len(missing)} extras, {', '.join(missing)}, which {image} needs; "
            f"add them to {table}, empty those that need no package, and run `uv lock`"
        )


def _normal(name: str) -> str:
    """The same text for names that installers take for the same extra."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(folder: str, image: str = "", *extras: str) -> int:
    """Print what is missing, if anything is, and fail then."""
    found = list(faults(Path(folder), image, extras))
    if found:
        print(f"{SETTING}: the application cannot become an image: {'; and '.join(found)}.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
