"""A hash of a folder's content.

The docker-build provider looks at a named context's files through the `.dockerignore` of the main context. Ours
excludes all that its Dockerfile does not copy, and so all of an application: its changes would show no difference and
build nothing. Excluded here are Python's caches and folders with a dot (version control, virtual environments, tools'
caches), which differ between a laptop and CI and reach no image. Symbolic links are hashed by their target's path.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HASH_LENGTH: Final = 16
EXCLUDED_FOLDER: Final = "__pycache__"


def folder_hash(folder: Path) -> str:
    """Hash a folder's file names, contents and executable bits.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for file in sorted(_files(folder)):
        mode = file.lstat().st_mode
        content = os.fsencode(file.readlink()) if stat.S_ISLNK(mode) else file.read_bytes()
        kind = "link" if stat.S_ISLNK(mode) else "program" if mode & stat.S_IXUSR else "file"
        digest.update(
            f"{file.relative_to(folder).as_posix()}\0{kind}\0{len(content)}\0".encode(errors="surrogateescape")
        )
        digest.update(content)
    return digest.hexdigest()[:HASH_LENGTH]


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".") and name != EXCLUDED_FOLDER]
        for name in (*names, *links):
            file = Path(parent, name)
            if not name.endswith(".pyc") and (file.is_symlink() or file.is_file()):
                yield file


def _raise(error: OSError) -> None:
    raise error
