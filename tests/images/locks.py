"""Texts of a uv.lock, as the build of an image and the preview meet them, and locks that uv itself makes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FITTING: Final[Mapping[str, str]] = {"celery": "5.7.0", "kombu": "5.7.0", "billiard": "4.3.2", "redis": "8.1.0"}
ADD: Final = 'run `uv add "celery[redis]>=5.7,<6"` there'


def lock(*more: str, without: tuple[str, ...] = (), **versions: str) -> str:
    """A lock of the packages that fit, some left out, some in another version; `more` are further tables."""
    locked = {name: version for name, version in {**FITTING, **versions}.items() if name not in without}
    return "\n".join(
        ['version = 1\nrequires-python = ">=3.13"\n', table("tasks"), *map(table, locked, locked.values()), *more]
    )


def table(name: str, version: str | None = "0.1.0", source: str = '{ registry = "https://pypi.org/simple" }') -> str:
    """One package of a lock; some from a folder or a repository have no version."""
    return f'[[package]]\nname = "{name}"\n' + (f'version = "{version}"\n' if version else "") + f"source = {source}\n"


FITS: Final = lock()

TAKEN: Final[Mapping[str, str]] = {
    "what the runtime was tested with": FITS,
    "a later patch release": lock(celery="5.7.12", kombu="5.7.3.post1", billiard="4.3.10"),
    "a pre-release of a patch release": lock(celery="5.7.1rc1"),
    "another redis": lock(redis="6.4.0"),
    "two versions that fit": lock(table("celery", "5.7.1")),
}

REFUSED: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "an older Celery": (
        lock(celery="5.6.3"),
        (f"its uv.lock has celery 5.6.3, and the runtime works with 5.7 or later, below 6; {ADD}",),
    ),
    "an older kombu": (
        lock(kombu="5.6.2"),
        (
            "its uv.lock has kombu 5.6.2, and the runtime works with 5.7 or later, below 6; "
            "run `uv lock --upgrade-package celery --upgrade-package kombu` there",
        ),
    ),
    "an older billiard": (
        lock(billiard="4.2.4"),
        (
            "its uv.lock has billiard 4.2.4, and the runtime works with 4.3 or later, below 5; "
            "run `uv lock --upgrade-package celery --upgrade-package billiard` there",
        ),
    ),
    "a Celery of long ago": (lock(celery="4.10.0"), ("celery 4.10.0",)),
    "a pre-release of the oldest": (lock(celery="5.7.0rc1"), ("celery 5.7.0rc1",)),
    "a Celery of the next major version": (
        lock(celery="6.0.0"),
        (f"its uv.lock has celery 6.0.0, and the runtime works with 5.7 or later, below 6; {ADD}",),
    ),
    "a kombu of the next major version": (lock(kombu="6.1"), ("kombu 6.1", 'run `uv add "kombu>=5.7,<6"` there')),
    "a billiard of the next major version": (
        lock(billiard="5.0.0b1"),
        ("billiard 5.0.0b1", 'run `uv add "billiard>=4.3,<5"` there'),
    ),
    "one of two versions unfit": (lock(table("celery", "5.5.3")), ("celery 5.5.3",)),
    "no Celery": (
        lock(without=("celery", "kombu", "billiard", "redis")),
        (f"its uv.lock has no celery, which the runtime needs; {ADD}",),
    ),
    "no redis": (
        lock(without=("redis",)),
        (f"its uv.lock has no redis, which the runtime needs; {ADD}",),
    ),
    "no TOML": ("[[package", ("its uv.lock is not TOML", "delete it and run `uv lock` there")),
    "no packages": ("version = 1\n", ("its uv.lock has no packages; delete it and run `uv lock` there",)),
    "nothing": ("", ("its uv.lock has no packages",)),
    "packages that are none": ("package = [1, { version = '1' }, { name = 7 }]", ("its uv.lock has no packages",)),
    "a number of packages": ("package = 3", ("its uv.lock has no packages",)),
}
"""What is refused, with parts of the one line that says so."""

WARNED: Final[Mapping[str, tuple[str, str]]] = {
    "a later Celery": (
        lock(celery="5.8.0"),
        "its uv.lock has celery 5.8.0, and the runtime was tested with 5.7",
    ),
    "a later kombu, before its release": (
        lock(kombu="5.10.0rc1"),
        "its uv.lock has kombu 5.10.0rc1, and the runtime was tested with 5.7",
    ),
    "a Celery from a repository": (
        lock(table("celery", None, '{ git = "https://git.example.com/celery.git#0123" }'), without=("celery",)),
        "its uv.lock has celery without a version, from a folder or a repository, so it was not checked",
    ),
    "a version that is none": (
        lock(billiard="1!4.3"),
        "its uv.lock has billiard 1!4.3, a version that cannot be compared, so it was not checked",
    ),
}
"""What is only warned of, with the warning."""


def make_lock(application: Path, **env: str) -> None:
    """Let uv write the lock of the application, from the index and the interpreter of this machine."""
    own = {"UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": str(application.parent / "cache")}
    uv = Path(sys.executable).parent / "uv"
    locked = subprocess.run(
        [uv, "lock", "--quiet", "--no-config", "--python", sys.executable, "--directory", application],
        env={**os.environ, **own, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert locked.returncode == 0, locked.stderr
