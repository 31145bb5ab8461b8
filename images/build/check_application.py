"""check_application.py DIRECTORY [IMAGE EXTRA...]: reports everything that the application lacks for an image.

Without an image it checks what the application's code is installed from: a wheel, or $SOURCE_ROOTS of its source tree.
uv names one missing extra only, and neither the image that needs it nor the setting that names the application; and it
installs any Celery, also one that the runtime cannot work with. An application in a local directory was checked before
the build; one in a git repository is first checked here. The program takes its checks of lock and code from here, so
that a preview and a build say the same: standard library only.
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SETTING = "fleet:images.application"
SOURCE_ROOTS = "fleet:images.sourceRoots"
VERSION = "fleet:images.version"
# Packages by which a build backend asks git for the version; a build argument can answer for them.
ASK_GIT = frozenset(
    {"setuptools-scm", "hatch-vcs", "vcs-versioning", "poetry-dynamic-versioning", "uv-dynamic-versioning", "pbr"}
)


@dataclass(frozen=True)
class Supported:
    """What the runtime works with of a package: from `oldest` on, within one major version."""

    name: str
    oldest: str
    tested: str
    extra: str = ""

    @property
    def next_major(self) -> int:
        """The first major version that the runtime does not know."""
        return _release(self.oldest)[0] + 1

    @property
    def add(self) -> str:
        """The command that brings a release that fits; unlike an upgrade, also where a bound was in the way."""
        return f'uv add "{self.name}{self.extra}>={self.oldest},<{self.next_major}"'

    def findings(self, version: str) -> tuple[list[str], list[str]]:
        """Return why the images cannot have this version, and what to warn of; one of the two at most."""
        locked = f"its uv.lock has {self.name} {version}".rstrip()
        if not version:
            return [], [f"{locked} without a version, from a folder or a repository, so it was not checked"]
        if not (match := re.fullmatch(r"(\d+(?:\.\d+)*)([^!]*)", version)):
            return [], [f"{locked}, a version that cannot be compared, so it was not checked"]
        release, oldest = _release(match[1]), _release(self.oldest)
        older = release < oldest or (release == oldest and re.match(r"a|b|rc|\.dev", match[2]))
        if older or release[:1] > oldest[:1]:
            # Celery says which versions of the others it needs, and an upgrade brings them together.
            upgrade = f"uv lock --upgrade-package celery --upgrade-package {self.name}"
            command = upgrade if older and self is not CELERY else self.add
            works = f"the runtime works with {self.oldest} or later, below {self.next_major}"
            return [f"{locked}, and {works}; run `{command}` there"], []
        if release[:2] > _release(self.tested)[:2]:
            return [], [f"{locked}, and the runtime was tested with {self.tested}"]
        return [], []


# What the runtime's pyproject.toml and contract.py say. They are not read here: what a step reads makes it run again,
# and none takes longer than the one that installs. A test compares.
CELERY = Supported("celery", "5.7", "5.7", extra="[redis]")
SUPPORTED = (CELERY, Supported("kombu", "5.7", "5.7"), Supported("billiard", "4.3", "4.3"))
REDIS = "redis"  # Celery's extra of this name says which versions


@dataclass(frozen=True)
class Lock:
    """What a uv.lock says of packages, or why it says nothing."""

    packages: Sequence[Mapping[str, object]] = ()
    error: str = ""

    def packages_from(self, *kinds: str) -> Iterator[tuple[str, str]]:
        """Yield the packages whose source is of one of these kinds, each with the place it comes from."""
        for package in self.packages:
            source = _table(package.get("source"))
            for kind in kinds:
                if isinstance(place := source.get(kind), str):
                    yield str(package.get("name")), place


def read_lock(folder: Path) -> Lock:
    """Read an application's uv.lock, once for all that is asked of it: it may have thousands of lines."""
    try:
        packages = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8")).get("package")
    except FileNotFoundError:
        return Lock(error="it has no uv.lock, from which the images install; run `uv lock` there")
    except OSError as error:
        return Lock(error=f"its uv.lock cannot be read: {error.strerror}")
    except ValueError as error:  # no TOML, or no text
        return Lock(error=f"its uv.lock is not TOML: {error}; delete it and run `uv lock` there")
    return Lock([one for one in packages if isinstance(one, dict)] if isinstance(packages, list) else ())


def lock_findings(lock: Lock) -> tuple[list[str], list[str]]:
    """Return why the images cannot be installed from this uv.lock, and what to warn of."""
    if lock.error:
        return [lock.error], []
    versions = _versions(lock.packages)
    if not versions:
        return ["its uv.lock has no packages; delete it and run `uv lock` there"], []
    missing = [name for name in (*(one.name for one in SUPPORTED), REDIS) if name not in versions]
    if CELERY.name in missing:
        missing = [CELERY.name]  # the others come with it
    errors = [f"its uv.lock has no {name}, which the runtime needs; run `{CELERY.add}` there" for name in missing]
    warnings: list[str] = []
    for supported in SUPPORTED:
        for version in versions.get(supported.name, ()):
            found = supported.findings(version)
            errors += found[0]
            warnings += found[1]
    return errors, warnings


def _versions(packages: Sequence[Mapping[str, object]]) -> dict[str, dict[str, None]]:
    """Return the locked versions by package: several where the lock forks, empty text for one without a version."""
    found: dict[str, dict[str, None]] = {}
    for package in packages:
        if isinstance(name := package.get("name"), str):
            version = package.get("version")
            found.setdefault(_normalize(name), {})[version if isinstance(version, str) else ""] = None
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return the four numbers of a version, of which missing ones are zero: 5.7 and 5.7.0 are the same."""
    return tuple(int(number) for number in f"{version}.0.0.0".split(".")[:4])


def code_errors(folder: Path, pyproject: Mapping[str, object], roots: Sequence[str], version: str) -> Iterator[str]:
    """Yield why the application's code cannot be installed.

    Args:
        folder: the application's.
        pyproject: what its pyproject.toml holds.
        roots: the folders of its source tree to import from; none for its wheel.
        version: what a build backend gets that would ask git; empty if it gets nothing.
    """
    project, tool = (_table(pyproject.get(name)) for name in ("project", "tool"))
    dynamic = project.get("dynamic")
    dynamic = dynamic if isinstance(dynamic, list) else []
    if "dependencies" in dynamic:
        yield (
            "its dependencies are dynamic, so only its build backend knows them, and the images install what "
            "pyproject.toml and uv.lock say; list them in [project] and run `uv lock`"
        )
    if roots:
        yield from _root_errors(folder, roots)
        return
    if _table(tool.get("uv")).get("package") is False or "build-system" not in pyproject:
        yield (
            "it is no package (its pyproject.toml has no [build-system], or package = false), so it has no wheel; name "
            f"in {SOURCE_ROOTS} the folders that its modules are imported from, such as '.' or 'src'"
        )
    elif "version" in dynamic and not version and _asks_git(_table(pyproject["build-system"]), tool):
        yield (
            "its build backend asks git for the version, and a build has no git; say it: "
            f'pulumi config set --path {VERSION} "$(git describe --tags --abbrev=0)"'
        )


def local_errors(lock: Lock, roots: Sequence[str]) -> Iterator[str]:
    """Yield which packages the lock has in folders that no image would have."""
    for name, folder in sorted(lock.packages_from("editable", "virtual", "directory")):
        if folder == ".":
            continue
        if folder.split("/")[0] == "..":
            yield (
                f"its uv.lock has {name} in {folder}, outside the application; publish it to an index, or make both "
                "members of a workspace"
            )
        elif not any(root == folder or root.startswith(f"{folder}/") or root == "." for root in roots):
            yield (
                f"its uv.lock has {name} in {folder}, which is installed with the source tree alone; name in "
                f"{SOURCE_ROOTS} the folders that modules are imported from, such as '.' and '{folder}/src'"
            )


def fetched_warnings(lock: Lock) -> Iterator[str]:
    """Yield which packages the lock has from where no build can fetch them, which only matters if an image has them."""
    for name, place in sorted(lock.packages_from("git")):
        repository = place.partition("?")[0].partition("#")[0]
        yield (
            f"its uv.lock has {name} from the repository {_without_user(repository)}, and a build has no git; an image "
            "that needs it cannot be built: publish it to an index, or give the address of an archive of it"
        )
    for name, place in sorted(lock.packages_from("path")):
        yield (
            f"its uv.lock has {name} from the file {place}, which a build of the dependencies does not have; an image "
            "that needs it cannot be built: publish it to an index"
        )


def _without_user(url: str) -> str:
    """Return a URL without the name and password that it may hold."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _root_errors(folder: Path, roots: Sequence[str]) -> Iterator[str]:
    for root in roots:
        if not (folder / root).is_dir():
            yield f"it has no folder {root!r}, which {SOURCE_ROOTS} names"


def _asks_git(build_system: Mapping[str, object], tool: Mapping[str, object]) -> bool:
    requires = build_system.get("requires")
    requires = requires if isinstance(requires, list) else []
    names = [re.split(r"[^A-Za-z0-9_.-]", one, maxsplit=1)[0] for one in requires if isinstance(one, str)]
    pdm = _table(_table(tool.get("pdm")).get("version"))
    return bool(ASK_GIT & {_normalize(name) for name in names}) or pdm.get("source") == "scm"


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _pyproject_errors(directory: Path, lock: Lock, image: str, extras: Sequence[str]) -> Iterator[str]:
    try:
        pyproject = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield "it has no pyproject.toml, which names its dependencies"
    except ValueError as error:  # no TOML, or no text
        yield f"its pyproject.toml is not TOML: {error}"
    else:
        yield from _extra_errors(pyproject, image, extras)
        if not image and "project" in pyproject:
            roots = os.environ.get("SOURCE_ROOTS", "").split()
            yield from code_errors(directory, pyproject, roots, os.environ.get("APPLICATION_VERSION", ""))
            yield from local_errors(lock, roots)


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
    lock = read_lock(Path(directory))
    errors, warnings = lock_findings(lock)
    errors += _pyproject_errors(Path(directory), lock, image, extras)
    if not image:
        warnings += fetched_warnings(lock)
    for warning in warnings:
        print(f"{SETTING}: {warning}.", file=sys.stderr)
    for error in errors:
        print(f"{SETTING}: the application cannot become an image: {error}.", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
