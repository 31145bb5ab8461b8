"""Whether the fleet's images can be built from an application, checked before anything is registered.

A git reference is checked by its text: BuildKit fetches it, and neither the engine nor the provider resolves it, so a
branch would move unnoticed and two builds of one stack could contain different code. A full commit cannot move. A
folder is checked by its files. Only the build can check whether the lock fits the project, and what a reference has.
Whether lock and code fit is asked in the build's own words, which is why they are imported from it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from images.build.check_application import code_errors, fetched_warnings, local_errors, lock_findings, read_lock
from queues import IMAGES

Extras = Mapping[str, Sequence[str]]
REFERENCE_APPLICATION: Final = "images/reference_app"
PYTHON: Final = "3.13"  # of the images, unless the stack says otherwise
PYTHONS: Final = ("3.12", "3.13", "3.14")  # what the images may have
PATCH_RELEASES: Final = range(100)  # a range such as >=3.13.2 leaves out some of its releases, and fits
REFERENCE_FORMAT: Final = "https://host/repository.git#<commit> or …#<commit>:folder, the commit with all its 40 digits"
COMMIT_REFERENCE: Final = r"https://[A-Za-z0-9.-]+(:[0-9]+)?/[^\s?#@]+\.git#[0-9a-f]{40}(:[^\s:]+)?"
# What BuildKit takes for a reference rather than a folder.
REMOTE_PREFIX: Final = r"([A-Za-z0-9+.-]+://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:|github\.com/)"
SSH_PREFIX: Final = r"ssh://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:"
URL_WITH_USER: Final = r"[A-Za-z0-9+.-]+://[^/]*@"
MUTABLE_REFERENCE: Final = r"(?P<repository>https://[^\s?#@]+\.git)(#(?P<name>[^:]*)(:.*)?)?"
MIGRATED: Final = ("poetry",)  # tools whose own tables say what [project] says for others
OTHER_EXTRAS: Final = "or say in fleet:images.extras which extras of its own each image has"
FOLDER_OR_COMMIT: Final = rf"^((?!{REMOTE_PREFIX}).+|{COMMIT_REFERENCE})$"  # both, for editors


def is_remote(reference: str) -> bool:
    """Return whether BuildKit fetches the reference; else it is a folder, which is sent as a context."""
    return re.match(REMOTE_PREFIX, reference) is not None


def reference_error(reference: str) -> str | None:
    """Return what is wrong with a git reference; None if nothing is, and for a folder."""
    if not is_remote(reference) or re.fullmatch(COMMIT_REFERENCE, reference):
        return None
    if re.match(URL_WITH_USER, reference) and not reference.startswith("ssh:"):
        return (
            "a token there would stand in the state as plain text; set it as fleet:gitToken; allowed: "
            f"{REFERENCE_FORMAT}"
        )
    if re.match(SSH_PREFIX, reference):
        return f"over SSH even a preview would need this machine's agent; allowed: a folder, or {REFERENCE_FORMAT}"
    if mutable := re.fullmatch(MUTABLE_REFERENCE, reference):
        name = mutable["name"] or "HEAD"
        return (
            f"{name!r} is no full commit and may come to mean another one, which nobody would notice; give all 40 "
            f"digits, as `git ls-remote {mutable['repository']}` lists them, or `git rev-parse` in a clone"
        )
    return f"allowed: a folder, or {REFERENCE_FORMAT}"


OWN_EXTRAS: Final[Extras] = {image.name: image.extras for image in IMAGES}


@dataclass(frozen=True)
class Wanted:
    """What a stack's images want of the application.

    `extras` are each image's, by its name; `source_roots` the folders to import from, where its source tree is
    installed in place of its wheel; `version` what a build backend gets that would ask git.
    """

    extras: Extras = field(default_factory=lambda: OWN_EXTRAS)
    python: str = PYTHON
    source_roots: Sequence[str] = ()
    version: str | None = None


def folder_findings(folder: Path, wanted: Wanted) -> tuple[list[str], list[str]]:
    """Return what an application's folder lacks, and what may not work."""
    if not folder.is_dir():
        return ["there is no such folder, seen from the project's own; give its path, or a git reference"], []
    lock = read_lock(folder)
    errors, warnings = lock_findings(lock)
    errors += local_errors(lock, wanted.source_roots)
    warnings += fetched_warnings(lock)
    return [*errors, *_pyproject_errors(folder, wanted)], warnings


def _pyproject_errors(folder: Path, wanted: Wanted) -> Iterator[str]:
    try:
        pyproject = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        first = "-r requirements.txt" if (folder / "requirements.txt").is_file() else "'celery[redis]'"
        yield f"it has no pyproject.toml, which names its dependencies; run `uv init --bare && uv add {first}` there"
    except OSError as error:
        yield f"its pyproject.toml cannot be read: {error.strerror}"
    except ValueError as error:  # no TOML, or no text
        yield f"its pyproject.toml is not TOML: {error}"
    else:
        yield from _project_errors(pyproject, wanted)
        if "project" in pyproject:
            yield from code_errors(folder, pyproject, wanted.source_roots, wanted.version or "")


def _project_errors(pyproject: Mapping[str, Any], wanted: Wanted) -> Iterator[str]:
    project, tool = pyproject.get("project"), pyproject.get("tool")
    if not isinstance(project, Mapping):
        other = next((name for name in MIGRATED if isinstance(tool, Mapping) and name in tool), None)
        mended = f", but one of {other}; run `uvx migrate-to-uv` there" if other else "; run `uv init --bare` there"
        yield f"its pyproject.toml has no [project] table, which uv reads{mended}"
        return
    yield from _python_errors(project.get("requires-python", ""), wanted.python)
    dynamic = project.get("dynamic")
    if not (isinstance(dynamic, list) and "optional-dependencies" in dynamic):  # then only its build backend knows them
        yield from _extra_errors(project.get("optional-dependencies", {}), wanted.extras)


def _python_errors(requires: Any, python: str) -> Iterator[str]:  # noqa: ANN401 whatever the file holds
    try:
        allowed = SpecifierSet(str(requires))
    except InvalidSpecifier:
        yield f"its requires-python is {requires!r}; such as '>={python}'"
        return
    if not any(allowed.contains(f"{python}.{patch}") for patch in PATCH_RELEASES):
        fitting = [other for other in PYTHONS if any(allowed.contains(f"{other}.{patch}") for patch in PATCH_RELEASES)]
        either = f", or set fleet:images.python to {fitting[-1]}" if fitting else ""
        yield (
            f"its requires-python is {requires!r}, and the images have Python {python}; make it allow {python} and run "
            f"`uv lock`{either}"
        )


def _extra_errors(declared: Any, extras: Extras) -> Iterator[str]:  # noqa: ANN401 whatever the file holds
    if not isinstance(declared, Mapping):
        yield "its [project.optional-dependencies] is no table of lists"
        return
    available = {canonicalize_name(name) for name in declared}
    missing: dict[str, list[str]] = {}
    for image, names in extras.items():
        for extra in names:
            if canonicalize_name(extra) not in available:
                missing.setdefault(extra, []).append(image)
    if len(missing) == 1:
        ((extra, images),) = missing.items()
        yield (
            f"its pyproject.toml has no extra {extra!r}, which {_needing(images)}; "
            f"add it to [project.optional-dependencies], empty if it needs no package, {OTHER_EXTRAS}"
        )
    elif missing:
        listing = "; ".join(f"{extra!r}, which {_needing(images)}" for extra, images in missing.items())
        yield (
            f"its pyproject.toml lacks {len(missing)} extras: {listing}; "
            f"add them to [project.optional-dependencies], empty those that need no package, {OTHER_EXTRAS}"
        )


def _needing(images: list[str]) -> str:
    return f"{' and '.join(images)} {'needs' if len(images) == 1 else 'need'}"
