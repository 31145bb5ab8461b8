"""Which files are generated, and which of them differ in a checkout.

Some folders are generated completely: a file in them that nothing generates any more is superfluous, and is removed.
Of the Dockerfiles only some lines are generated, and all others stay as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Final

from surfaces.audit_page import rules_page
from surfaces.compose import compose_files
from surfaces.dockerfiles import dockerfiles
from surfaces.image_catalogue import image_catalogue
from surfaces.karpenter import karpenter_node_pools
from surfaces.kustomize import GENERATED_FOLDERS, kustomize_tree
from surfaces.queue_map import queue_map
from surfaces.queue_matrix import queue_matrix
from surfaces.reference import configuration_reference
from surfaces.runtime_catalogue import runtime_catalogue, runtime_exchange_calendar
from surfaces.schema import stack_schema
from surfaces.stacks import stacks
from surfaces.terraform import tfvars
from surfaces.topology import topologies

DEPLOY: Final = "deploy"
KUSTOMIZE: Final = f"{DEPLOY}/kustomize"
KARPENTER: Final = f"{DEPLOY}/karpenter"
TOPOLOGY: Final = f"{DEPLOY}/topology"
DIFF_LINES: Final = 12  # of each file


@dataclass(frozen=True)
class Difference:
    """One file that is not what would be generated.

    A missing file has no `current` text, and a superfluous one no `expected` text.
    """

    path: str
    current: str | None
    expected: str | None

    @property
    def status(self) -> str:
        """`missing`, `superfluous` or `stale`."""
        if self.current is None:
            return "missing"
        return "superfluous" if self.expected is None else "stale"

    def __str__(self) -> str:
        if self.current is None or self.expected is None:
            return f"{self.status}: {self.path}"
        lines = unified_diff(
            self.current.splitlines(), self.expected.splitlines(), "committed", "generated", lineterm="", n=1
        )
        return "\n".join([f"{self.status}: {self.path}", *(f"    {line}" for line in islice(lines, DIFF_LINES))])


def generated_files(root: Path) -> dict[str, str]:
    """Return every generated file's text, by path from the root.

    Raises:
        SettingsError: a stack's file cannot be used.
        SurfaceError: a Dockerfile has no place for its lines.
    """
    settings = stacks(root)
    return {
        **dockerfiles(root),
        **{f"{KUSTOMIZE}/{path}": text for path, text in kustomize_tree(settings).items()},
        **{f"{TOPOLOGY}/{name}": text for name, text in topologies(settings).items()},
        **{f"{KARPENTER}/{name}": text for name, text in karpenter_node_pools().items()},
        **{f"{DEPLOY}/{name}": text for name, text in compose_files().items()},
        f"{DEPLOY}/image-catalogue.yaml": image_catalogue(),
        **{f"{DEPLOY}/terraform/{name}": text for name, text in tfvars().items()},
        "config/stack.schema.json": stack_schema(),
        "docs/audit-rules.md": rules_page(),
        "docs/configuration.md": configuration_reference(),
        "docs/queue-map.svg": queue_map(),
        "docs/queues.md": queue_matrix(),
        "images/runtime/src/alphaswarm_runtime/catalogue.json": runtime_catalogue(),
        "images/runtime/src/alphaswarm_runtime/settings/exchange_calendar.py": runtime_exchange_calendar(),
    }


def differences(root: Path, expected: Mapping[str, str]) -> list[Difference]:
    """Return the files of a checkout that differ, by path."""
    present = {*expected, *_files_in_generated_folders(root)}
    entries = (Difference(path, _text(root / path), expected.get(path)) for path in sorted(present))
    return [difference for difference in entries if difference.current != difference.expected]


def write(root: Path, differing: list[Difference]) -> None:
    """Write the expected files, and remove superfluous files and empty folders."""
    for difference in differing:
        file = root / difference.path
        if difference.expected is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(difference.expected, encoding="utf-8")
    for folder in sorted((root / KUSTOMIZE).rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _files_in_generated_folders(root: Path) -> Iterator[str]:
    for folder in (*(root / KUSTOMIZE / name for name in GENERATED_FOLDERS), root / KARPENTER, root / TOPOLOGY):
        for file in folder.rglob("*"):
            if file.is_file():
                yield file.relative_to(root).as_posix()


def _text(file: Path) -> str | None:
    return file.read_bytes().decode(errors="replace") if file.is_file() else None
