"""What a folder holds, as a short text that changes with it.

The docker-build provider looks at a named context's files through the `.dockerignore` of the main context. Ours leaves
out all that its Dockerfile does not copy, and so all of an application: its changes would show no difference and build
nothing. Left out here are Python's caches and folders with a dot (version control, virtual environments, tools'
caches), which differ between a laptop and CI and reach no image. Links count as what they say, not what they lead to.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LENGTH: Final = 16
LEFT_OUT: Final = "__pycache__"


def folder_hash(folder: Path) -> str:
    """The same for the same names, contents and rights to execute. Raises OSError when a file cannot be read."""
    whole = hashlib.sha256()
    for file in sorted(_files(folder)):
        mode = file.lstat().st_mode
        content = os.fsencode(file.readlink()) if stat.S_ISLNK(mode) else file.read_bytes()
        kind = "link" if stat.S_ISLNK(mode) else "program" if mode & stat.S_IXUSR else "file"
        whole.update(
            f"{file.relative_to(folder).as_posix()}\0{kind}\0{len(content)}\0".encode(errors="surrogateescape")
        )
        whole.update(content)
    return whole.hexdigest()[:LENGTH]


def _files(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(above, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".") and name != LEFT_OUT]
        for name in (*names, *links):
            file = Path(above, name)
            if not name.endswith(".pyc") and (file.is_symlink() or file.is_file()):
                yield file


def _raise(error: OSError) -> None:
    raise error
