"""check_application.py DIRECTORY [IMAGE EXTRA...]: reports everything that the application lacks for an image.

uv names one missing extra only, and neither the image that needs it nor the setting that names the application; and it
installs any Celery, also one that the runtime cannot work with. An application in a local directory was checked before
the build; one in a git repository is first checked here. The program takes its check of the lock from here, so that a
preview and a build say the same: standard library only.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SETTING = "fleet:images.application"


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


def lock_findings(lock: Path) -> tuple[list[str], list[str]]:
    """Return why the images cannot be installed from this uv.lock, and what to warn of."""
    try:
        versions = _versions(tomllib.loads(lock.read_text(encoding="utf-8")).get("package"))
    except FileNotFoundError:
        return ["it has no uv.lock, from which the images install; run `uv lock` there"], []
    except OSError as error:
        return [f"its uv.lock cannot be read: {error.strerror}"], []
    except ValueError as error:  # no TOML, or no text
        return [f"its uv.lock is not TOML: {error}; delete it and run `uv lock` there"], []
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


def _versions(packages: object) -> dict[str, dict[str, None]]:
    """Return the locked versions by package: several where the lock forks, empty text for one without a version."""
    found: dict[str, dict[str, None]] = {}
    for package in packages if isinstance(packages, list) else ():
        if isinstance(package, dict) and isinstance(name := package.get("name"), str):
            version = package.get("version")
            found.setdefault(_normalize(name), {})[version if isinstance(version, str) else ""] = None
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return the four numbers of a version, of which missing ones are zero: 5.7 and 5.7.0 are the same."""
    return tuple(int(number) for number in f"{version}.0.0.0".split(".")[:4])


def _pyproject_errors(directory: Path, image: str, extras: Sequence[str]) -> Iterator[str]:
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
    errors, warnings = lock_findings(Path(directory) / "uv.lock")
    errors += _pyproject_errors(Path(directory), image, extras)
    for warning in warnings:
        print(f"{SETTING}: {warning}.", file=sys.stderr)
    for error in errors:
        print(f"{SETTING}: the application cannot become an image: {error}.", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
