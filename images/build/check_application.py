"""check_application.py DIRECTORY [IMAGE EXTRA...]: reports everything that the application lacks for an image.

uv names one missing extra only, and neither the image that needs it nor the setting that names the application. An
application in a local directory was checked before the build; one in a git repository is first checked here.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

SETTING = "fleet:images.application"


def errors(directory: Path, image: str, extras: Sequence[str]) -> Iterator[str]:
    """Yield what the application lacks, and what to do about it."""
    if not (directory / "uv.lock").is_file():
        yield "it has no uv.lock, from which the images install; run `uv lock` there"
    try:
        pyproject = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield "it has no pyproject.toml, which names its dependencies"
    except ValueError as error:  # no TOML, or no text
        yield f"its pyproject.toml is not TOML: {error}"
    else:
        yield from _extra_errors(pyproject, image, extras)


def _extra_errors(pyproject: dict[str, object], image: str, extras: Sequence[str]) -> Iterator[str]:
    project = pyproject.get("project")
    if not isinstance(project, dict):
        yield "its pyproject.toml has no [project] table, which uv reads"
        return
    if "optional-dependencies" in project.get("dynamic", ()):  # only its build backend knows them
        return
    declared_extras = {_normalize(name) for name in project.get("optional-dependencies", ())}
    missing = [repr(extra) for extra in extras if _normalize(extra) not in declared_extras]
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


def _normalize(name: str) -> str:
    """Normalize an extra's name as installers do (PEP 503, PEP 685)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(directory: str, image: str = "", *extras: str) -> int:
    """Print what the application lacks on standard error, and return the exit status: 1 if it lacks something."""
    found = list(errors(Path(directory), image, extras))
    if found:
        print(f"{SETTING}: the application cannot become an image: {'; and '.join(found)}.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
