"""Whether an application can become the fleet's images, asked before anything is registered rather than in the build.

A git reference is judged by its text: BuildKit fetches it, and neither the engine nor the provider looks behind it, so
a branch would move unnoticed and two builds of one stack could hold different code. A full commit cannot move. A folder
is judged by its files. Whether the lock fits the project, and what a git reference holds, only the build can tell.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from queues import EXECUTOR, IMAGES

REFERENCE_APPLICATION: Final = "images/reference_app"
PYTHON: Final = "3.13"  # of the images
PATCHES: Final = range(100)  # a range such as >=3.13.2 leaves out some of its releases, and fits
FORM: Final = "https://host/repository.git#<commit> or …#<commit>:folder, the commit with all its 40 digits"
COMMIT_REFERENCE: Final = r"https://[A-Za-z0-9.-]+(:[0-9]+)?/[^\s?#@]+\.git#[0-9a-f]{40}(:[^\s:]+)?"
REMOTE: Final = r"([A-Za-z0-9+.-]+://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:|github\.com/)"  # what BuildKit takes for no folder
OVER_SSH: Final = r"ssh://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:"
WITH_USER: Final = r"[A-Za-z0-9+.-]+://[^/]*@"
MOVING: Final = r"(?P<repository>https://[^\s?#@]+\.git)(#(?P<name>[^:]*)(:.*)?)?"
FOLDER_OR_COMMIT: Final = rf"^((?!{REMOTE}).+|{COMMIT_REFERENCE})$"  # both, for editors


def is_remote(given: str) -> bool:
    """Whether BuildKit fetches it, instead of getting a folder sent."""
    return re.match(REMOTE, given) is not None


def reference_error(given: str) -> str | None:
    """What is wrong with a git reference; None for a folder."""
    if not is_remote(given) or re.fullmatch(COMMIT_REFERENCE, given):
        return None
    if re.match(WITH_USER, given) and not given.startswith("ssh:"):
        return f"a token there would stand in the state as plain text; set it as fleet:gitToken; allowed: {FORM}"
    if re.match(OVER_SSH, given):
        return f"over SSH even a preview would need this machine's agent; allowed: a folder, or {FORM}"
    if moving := re.fullmatch(MOVING, given):
        name = moving["name"] or "HEAD"
        return (
            f"{name!r} is no full commit and may come to mean another one, which nobody would notice; give all 40 "
            f"digits, as `git ls-remote {moving['repository']}` lists them, or `git rev-parse` in a clone"
        )
    return f"allowed: a folder, or {FORM}"


def folder_errors(folder: Path, more_extras: str = "") -> Iterator[str]:
    """What an application's folder lacks; `more_extras` are those that a stack gives the executor besides its own."""
    if not folder.is_dir():
        yield "there is no such folder, seen from the project's own; give its path, or a git reference"
        return
    if not (folder / "uv.lock").is_file():
        yield "it has no uv.lock, from which the images install; run `uv lock` there"
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except FileNotFoundError:
        yield "it has no pyproject.toml, which names its dependencies"
    except OSError as error:
        yield f"its pyproject.toml cannot be read: {error.strerror}"
    except ValueError as error:  # no TOML, or no text
        yield f"its pyproject.toml is not TOML: {error}"
    else:
        yield from _project_errors(project, more_extras)


def _project_errors(project: Any, more_extras: str) -> Iterator[str]:  # noqa: ANN401 whatever the file holds
    if not isinstance(project, Mapping):
        yield "its pyproject.toml has no [project] table, which uv reads"
        return
    yield from _python_errors(project.get("requires-python", ""))
    dynamic = project.get("dynamic")
    if not (isinstance(dynamic, list) and "optional-dependencies" in dynamic):  # then only its build backend knows them
        yield from _extra_errors(project.get("optional-dependencies", {}), more_extras)


def _python_errors(requires: Any) -> Iterator[str]:  # noqa: ANN401 whatever the file holds
    try:
        allowed = SpecifierSet(requires)
    except (InvalidSpecifier, TypeError, AttributeError):
        yield f"its requires-python is {requires!r}; such as '>={PYTHON}'"
        return
    if not any(allowed.contains(f"{PYTHON}.{patch}") for patch in PATCHES):
        yield f"its requires-python is {requires!r}, and the images have Python {PYTHON}; make it allow {PYTHON}"


def _extra_errors(extras: Any, more_extras: str) -> Iterator[str]:  # noqa: ANN401 whatever the file holds
    if not isinstance(extras, Mapping):
        yield "its [project.optional-dependencies] is no table of lists"
        return
    there = {canonicalize_name(name) for name in extras}
    wanted = {image.name: list(image.extras) for image in IMAGES}
    wanted[EXECUTOR.name] += [extra for extra in more_extras.split() if extra not in EXECUTOR.extras]
    missing: dict[str, list[str]] = {}
    for image, names in wanted.items():
        for extra in names:
            if canonicalize_name(extra) not in there:
                missing.setdefault(extra, []).append(image)
    if len(missing) == 1:
        ((extra, images),) = missing.items()
        yield (
            f"its pyproject.toml has no extra {extra!r}, which {_both(images)}; "
            "add it to [project.optional-dependencies], empty if it needs no package"
        )
    elif missing:
        each = "; ".join(f"{extra!r}, which {_both(images)}" for extra, images in missing.items())
        yield (
            f"its pyproject.toml lacks {len(missing)} extras: {each}; "
            "add them to [project.optional-dependencies], empty those that need no package"
        )


def _both(images: list[str]) -> str:
    return f"{' and '.join(images)} {'needs' if len(images) == 1 else 'need'}"
