"""What the wheels weigh that an image installs, as PyPI packs them: what its dependencies could take at the least."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from common.errors import CommandError
from config.application import PYTHON

MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
NEWEST_GLIBC: Final = 39  # as the images' builds say it to uv


def locked_wheel_bytes(application: Path, extras: Sequence[str], architecture: str) -> int:
    """Return the sum of the wheels' sizes, in bytes.

    Args:
        application: the folder with pyproject.toml and uv.lock.
        extras: those that are installed.
        architecture: amd64 or arm64.

    Raises:
        CommandError: uv cannot read the lock, or a package has no wheel for the architecture.
    """
    lock: list[dict[str, Any]] = tomllib.loads((application / "uv.lock").read_text())["package"]
    tags = list(_tags(MACHINES[architecture]))
    return sum(_wheel_bytes(lock, requirement, tags) for requirement in _installed(application, extras, architecture))


def _installed(application: Path, extras: Sequence[str], architecture: str) -> Iterable[Requirement]:
    options = [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), "export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes",
         "--quiet", "--directory", application, *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CommandError(f"uv could not list what {application / 'uv.lock'} installs:\n{done.stderr.strip()}")
    environment = {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "platform_machine": MACHINES[architecture],
        "platform_python_implementation": "CPython",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }
    for line in done.stdout.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                yield requirement


def _wheel_bytes(lock: Sequence[dict[str, Any]], requirement: Requirement, tags: Sequence[Tag]) -> int:
    (version,) = (one.version for one in requirement.specifier)
    wheels = {
        tag: int(wheel["size"])
        for package in lock
        if (package["name"], package.get("version")) == (requirement.name, version)
        for wheel in package.get("wheels", ())
        for tag in parse_wheel_filename(wheel["url"].rpartition("/")[2].replace("%2B", "+"))[3]
        if "size" in wheel
    }
    for tag in tags:
        if tag in wheels:
            return wheels[tag]
    raise CommandError(f"{requirement.name} {version} has no wheel of a known size for {tags[0].platform}.")


def _tags(machine: str) -> Iterable[Tag]:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms += [f"manylinux{year}_{machine}" for year in (2014, 2010, 1)] + [f"linux_{machine}"]
    version = [int(number) for number in PYTHON.split(".")]
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{version[0]}{version[1]}", platforms)
