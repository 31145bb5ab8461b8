"""The files of a checkout: which there are, what is skipped, and their texts, each read once.

Skipped are git's folder, installed packages, caches, vendored code, links that lead elsewhere, and files of more than
MAX_BYTES: no person wrote those.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from surfaces.audit.texts import word_set

MAX_BYTES = 2_000_000
MAX_FOLDERS = 60  # within each other

SKIPPED = word_set(
    ".git .hg .svn node_modules bower_components site-packages dist-packages __pycache__ .venv venv virtualenv .tox "
    ".nox .terraform .eggs vendor vendored _vendor third_party third-party .idea .hypothesis .local"
)
ASIDE = word_set(
    "test tests testing testdata test_data fixtures __tests__ e2e spec doc docs documentation example examples sample "
    "samples tutorial tutorials cookbook demo demos benchmark benchmarks bench"
)


class CheckoutError(ValueError):
    """The path is no folder that can be read."""


@dataclass
class Checkout:
    """A folder and its files, by path from it with slashes."""

    root: Path
    paths: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)

    def bytes_of(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        if path not in self.texts:
            self.texts[path] = (self.root / path).read_bytes()
        return self.texts[path]

    def text(self, path: str) -> str:
        """Return a file's text; what is no UTF-8 is replaced, and so is the character that means unknown.

        Raises:
            OSError: it cannot be read.
        """
        return self.bytes_of(path).removeprefix(b"\xef\xbb\xbf").decode(errors="replace").replace("\0", "\ufffd")

    def named(self, *patterns: str) -> list[str]:
        """Return the paths whose file name matches one of the patterns."""
        return [path for path in self.paths if any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)]


def checkout(root: Path) -> Checkout:
    """Return a folder's files.

    Raises:
        CheckoutError: it is no folder, or cannot be listed.
    """
    try:
        if not root.is_dir():
            raise CheckoutError(f"{root}: no such folder")
        return Checkout(root, sorted(_walk(root.resolve(), root.resolve(), "", 0)))
    except OSError as error:
        raise CheckoutError(f"{root}: {error.strerror or error}") from error


def _walk(root: Path, folder: Path, prefix: str, depth: int) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        if depth == 0:
            raise
        return
    if depth and any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED and not entry.name.endswith("_cache") and depth < MAX_FOLDERS:
                    yield from _walk(root, Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
            elif entry.is_file() and _ours(root, entry) and entry.stat().st_size <= MAX_BYTES:
                yield prefix + entry.name
        except OSError:
            continue


def _ours(root: Path, entry: "os.DirEntry[str]") -> bool:
    """Whether a file is within the checkout, also where it is a link."""
    return not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(root)


def is_aside(path: str) -> bool:
    """Whether a file is a test, documentation or an example, which says nothing of what is deployed."""
    pure = PurePosixPath(path)
    if any(part.lower() in ASIDE for part in pure.parts[:-1]):
        return True
    return pure.suffix == ".py" and (
        pure.name.startswith("test_")
        or pure.name.endswith(("_test.py", "_tests.py"))
        or pure.name in ("conftest.py", "tests.py")
    )


def folder_of(path: str) -> str:
    """Return a path's folder, "" at the root."""
    return path.rpartition("/")[0]


def joined(folder: str, path: str) -> str | None:
    """Return `path` seen from `folder`, without dots; None where it leaves the checkout."""
    parts: list[str] = []
    for part in f"{folder}/{path}".split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
