"""Which files are generated, and which of them a checkout has otherwise.

Some folders are generated whole: a file in them that nothing generates any more is superfluous, and goes. Of the
Dockerfiles only some lines are generated, and all others stay as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Final

from surfaces.dockerfiles import dockerfiles
from surfaces.kustomize import OWNED_FOLDERS, tree
from surfaces.queue_matrix import queue_matrix
from surfaces.reference import reference
from surfaces.runtime_catalogue import runtime_catalogue
from surfaces.schema import stack_schema
from surfaces.stacks import stacks

KUSTOMIZE: Final = "deploy/kustomize"
DIFF_LINES: Final = 12  # of each file


@dataclass(frozen=True)
class Difference:
    """One file that is not what would be generated. A missing file has no `current`, a superfluous one no `wanted`."""

    path: str
    current: str | None
    wanted: str | None

    @property
    def what(self) -> str:
        """The difference in a word."""
        if self.current is None:
            return "missing"
        return "superfluous" if self.wanted is None else "stale"

    def __str__(self) -> str:
        if self.current is None or self.wanted is None:
            return f"{self.what}: {self.path}"
        lines = unified_diff(
            self.current.splitlines(), self.wanted.splitlines(), "committed", "generated", lineterm="", n=1
        )
        return "\n".join([f"{self.what}: {self.path}", *(f"    {line}" for line in islice(lines, DIFF_LINES))])


def generated(root: Path) -> dict[str, str]:
    """Return every generated file's text, by path from the root.

    Raises:
        SettingsError: a stack's file cannot be used.
        SurfaceError: a Dockerfile has no place for its lines.
    """
    return {
        **dockerfiles(root),
        **{f"{KUSTOMIZE}/{path}": text for path, text in tree(stacks(root)).items()},
        "config/stack.schema.json": stack_schema(),
        "docs/configuration.md": reference(),
        "docs/queues.md": queue_matrix(),
        "images/runtime/src/alphaswarm_runtime/catalogue.json": runtime_catalogue(),
    }


def differences(root: Path, wanted: Mapping[str, str]) -> list[Difference]:
    """What a checkout has otherwise, by path."""
    present = {*wanted, *_owned(root)}
    found = (Difference(path, _text(root / path), wanted.get(path)) for path in sorted(present))
    return [difference for difference in found if difference.current != difference.wanted]


def write(root: Path, found: list[Difference]) -> None:
    """Make the checkout have what is generated."""
    for difference in found:
        file = root / difference.path
        if difference.wanted is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(difference.wanted, encoding="utf-8")
    for folder in sorted((root / KUSTOMIZE).rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _owned(root: Path) -> Iterator[str]:
    for folder in OWNED_FOLDERS:
        for file in (root / KUSTOMIZE / folder).rglob("*"):
            if file.is_file():
                yield file.relative_to(root).as_posix()


def _text(file: Path) -> str | None:
    return file.read_bytes().decode(errors="replace") if file.is_file() else None
